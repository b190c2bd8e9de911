package deliver_test

import (
	"context"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// watched is a router with a carrier. The test controls its answers and the time.
type watched struct {
	*deliver.Router
	t     *testing.T
	asked []string
	only  *carrier
	now   time.Time
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.only = &carrier{"only", nil, &w.asked}
	var err error
	w.Router, err = deliver.NewRouter(deliver.RouterConfig{
		Routes:   []deliver.Route{{Carriers: []string{"only", "spare"}}, {Sender: "alone", Carriers: []string{"only"}}},
		Carriers: map[string]deliver.Carrier{"only": w.only, "spare": carrier{"spare", nil, &w.asked}},
		Now:      func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// down reports whether the carrier is marked down.
func (w *watched) down() bool { return w.Status()[0].Down }

// sent submits n messages and returns the number of the message that marked the carrier
// down, or 0.
func (w *watched) sent(n int, err error) int {
	w.only.err = err
	for i := range n {
		w.asked = nil
		_, _ = w.Send(w.t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")}) // only the status matters
		if w.down() {
			return i + 1
		}
	}
	return 0
}

// reported reports n receipts and returns the number of the receipt that marked the
// carrier down, or 0.
func (w *watched) reported(n int, state verify.EventState) int {
	for i := range n {
		w.Reported(deliver.Receipt{Carrier: "only", State: state})
		if w.down() {
			return i + 1
		}
	}
	return 0
}

// alone submits a message for which no other carrier exists.
func (w *watched) alone(err error) {
	w.only.err = err
	_, _ = w.Send(w.t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", ""), From: "alone"})
}

// first sends a message and returns the first carrier that the router tries.
func (w *watched) first() string {
	w.asked = nil
	_, _ = w.Send(w.t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")})
	return w.asked[0]
}

// TestBusyCarrierFails: only the last 50 messages or receipts count, so that a busy carrier
// is marked down soon after it fails.
func TestBusyCarrierFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		well   int // successes before the failure
		failed int // failures until it is marked down
	}{
		"new":      {0, 10},
		"ten":      {10, 11},  // 10 of 21 are less than half
		"busy":     {50, 26},  // 24 of 50
		"busier":   {51, 26},  // the oldest result is dropped
		"busiest":  {500, 26}, // within one second
		"nineteen": {19, 20},  // 19 of 39
	} {
		w := watch(t)
		if at := w.sent(tt.well, nil); at != 0 {
			t.Fatalf("%s: marked down by success %d", name, at)
		}
		if at := w.sent(100, errLost); at != tt.failed {
			t.Errorf("%s: marked down by failure %d, want %d", name, at, tt.failed)
		}
	}
	for name, tt := range map[string]struct{ well, failed int }{
		"new":    {0, 30},
		"ten":    {10, 21}, // 10 of 31 are less than a third
		"busy":   {50, 34}, // 16 of 50
		"busier": {500, 34},
	} {
		w := watch(t)
		if at := w.reported(tt.well, verify.EventDelivered); at != 0 {
			t.Fatalf("%s: marked down by receipt %d of success", name, at)
		}
		if at := w.reported(100, verify.EventUndeliverable); at != tt.failed {
			t.Errorf("%s: marked down by failed receipt %d, want %d", name, at, tt.failed)
		}
	}
}

// TestOldResultsDoNotCount: results count for five minutes. After the clock was set back,
// results from the future do not count.
func TestOldResultsDoNotCount(t *testing.T) {
	t.Parallel()
	const age = 5 * time.Minute
	for after, failed := range map[time.Duration]int{
		0: 26, age: 26, -age: 26, // 24 of 50
		age + 1: 10, -age - 1: 10, // alone
	} {
		w := watch(t)
		w.sent(40, nil)
		w.now = w.now.Add(after)
		if at := w.sent(100, errLost); at != failed {
			t.Errorf("after %v: marked down by failure %d, want %d", after, at, failed)
		}
	}
}

// TestDownForAWhile: a carrier marked down for its messages gets a probe after 30
// seconds, a carrier marked down for its receipts after five minutes. If the clock was
// set back, the probe is immediate.
func TestDownForAWhile(t *testing.T) {
	t.Parallel()
	messages := func(w *watched) { w.sent(10, errLost) }
	receipts := func(w *watched) { w.reported(30, verify.EventRejected) }
	for _, tt := range []struct {
		name  string
		fail  func(*watched)
		after time.Duration
		first string
	}{
		{"messages", messages, 0, "spare"},
		{"messages", messages, 30*time.Second - 1, "spare"},
		{"messages", messages, 30 * time.Second, "only"},
		{"messages, set back", messages, 30*time.Second - 5*time.Minute, "spare"},
		{"messages, set back by more", messages, 30*time.Second - 5*time.Minute - 1, "only"},
		{"receipts", receipts, 0, "spare"},
		{"receipts", receipts, 5*time.Minute - 1, "spare"},
		{"receipts", receipts, 5 * time.Minute, "only"},
		{"receipts, set back", receipts, -1, "only"},
	} {
		w := watch(t)
		tt.fail(w)
		w.now = w.now.Add(tt.after)
		if got := w.first(); got != tt.first {
			t.Errorf("%s, after %v: %s is tried first, want %s", tt.name, tt.after, got, tt.first)
		}
	}
}

// TestProvesItself: a carrier marked down for its messages recovers after one accepted
// probe, and earlier results no longer count.
func TestProvesItself(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.sent(10, errLost)
	w.now = w.now.Add(30 * time.Second)
	if got := w.first(); got != "only" || !w.down() {
		t.Errorf("%s is tried first when the probe is due, marked down afterwards: %t", got, w.down())
	}
	for range 3 { // the next probe follows after downFor
		if got := w.first(); got != "spare" {
			t.Errorf("%s is tried first, right after a failed probe", got)
		}
	}
	w.now = w.now.Add(30 * time.Second)
	w.only.err = nil
	if got := w.first(); got != "only" || w.down() {
		t.Errorf("%s is tried first when the probe is due, marked down afterwards: %t", got, w.down())
	}
	if at := w.sent(100, errLost); at != 10 {
		t.Errorf("marked down by failure %d after the probe, want 10", at)
	}
}

// TestDeliversTooLittle: a carrier marked down for its receipts stays down, even if it
// accepts many messages while tried last. Only a probe counts.
func TestDeliversTooLittle(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.reported(30, verify.EventExpired)
	take := func(when string) {
		t.Helper()
		for range 60 {
			if w.alone(nil); !w.down() {
				t.Fatalf("not marked down after it accepted a message %s", when)
			}
		}
	}
	take("before the probe")
	w.now = w.now.Add(5 * time.Minute)
	w.alone(errLost)
	take("after a failed probe")
	w.now = w.now.Add(30 * time.Second)
	if w.alone(nil); w.down() {
		t.Error("marked down after the probe")
	}
	w.sent(10, errLost)
	for range 20 {
		w.alone(nil)
	}
	if w.down() {
		t.Error("still marked down for its messages after it accepted 20")
	}
}

// TestReceiptsBeginAnew: receipts from before a carrier was marked down do not count
// afterwards.
func TestReceiptsBeginAnew(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.reported(30, verify.EventExpired)
	w.now = w.now.Add(5 * time.Minute)
	w.alone(nil)
	if at := w.reported(100, verify.EventExpired); at != 30 {
		t.Errorf("marked down by receipt %d after the probe, want 30", at)
	}
}

// reporting is a carrier that reports receipts before Send returns.
type reporting struct{ report func() }

func (r *reporting) Send(context.Context, deliver.Message) (deliver.Submission, error) {
	r.report()
	return deliver.Submission{}, nil
}

// TestReceiptsDuringTheChance: an accepted probe has no effect if receipts marked the
// carrier down again during Send.
func TestReceiptsDuringTheChance(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := &reporting{report: func() {}}
	router, err := deliver.NewRouter(deliver.RouterConfig{
		Routes: []deliver.Route{{Carriers: []string{"only"}}}, Carriers: map[string]deliver.Carrier{"only": c}, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	fail := func() {
		for range 30 {
			router.Reported(deliver.Receipt{Carrier: "only", State: verify.EventRejected})
		}
	}
	for i, report := range []func(){fail, func() {}} {
		if i == 0 {
			fail()
		}
		now = now.Add(5 * time.Minute)
		c.report = report
		if _, err := router.Send(t.Context(), deliver.Message{Channel: verify.SMS, To: verify.PhoneAddress("1", "")}); err != nil {
			t.Fatal(err)
		}
		if down := router.Status()[0].Down; down != (i == 0) {
			t.Errorf("probe %d: marked down: %t", i+1, down)
		}
	}
}
