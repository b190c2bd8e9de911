package sink_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sink"
	"countersign/internal/verify"
)

func TestSend(t *testing.T) {
	t.Parallel()
	record := filepath.Join(t.TempDir(), "record")
	now := func() time.Time { return time.Unix(1_800_000_000, 42) }
	for _, number := range []string{"447700900001", "12015550123"} { // the second is appended
		c, err := sink.New(sink.Config{Name: "nowhere", Record: record, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		sub, err := c.Send(t.Context(), deliver.Message{To: verify.PhoneAddress(number, ""), Text: "Acme code: 4821."})
		if err != nil || sub.Carrier != "nowhere" || len(sub.Refs) != 0 {
			t.Errorf("Send = %+v, %v", sub, err)
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
		if _, err := c.Send(t.Context(), deliver.Message{To: verify.PhoneAddress(number, "")}); !errors.Is(err, deliver.ErrNotSent) {
			t.Errorf("Send after Close: %v", err)
		}
	}
	got, err := os.ReadFile(record)
	if want := "1800000000000000042 447700900001\n1800000000000000042 12015550123\n"; err != nil || string(got) != want {
		t.Errorf("record %q, %v", got, err)
	}
}

func TestNoRecord(t *testing.T) {
	t.Parallel()
	c, err := sink.New(sink.Config{Name: "nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), deliver.Message{To: verify.PhoneAddress("447700900001", "")}); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := sink.New(sink.Config{Record: t.TempDir()}); err == nil {
		t.Error("New accepts a directory as record")
	}
}
