package inbox_test

import (
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/message"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// engines runs a test on a file and on a PostgreSQL database.
func engines(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Parallel()
	for name, database := range map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string {
			t.Helper()
			return pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
		},
		"postgres": func(t *testing.T) string {
			t.Helper()
			return pgtest.Prepared(t, "migrated", store.Migrate)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := store.Open(t.Context(), store.Config{Database: database(t), Key: vault.NewKey(), Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			defer db.Close()
			test(t, db)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func TestInbox(t *testing.T) { engines(t, testInbox) }

func testInbox(t *testing.T, db *store.DB) {
	box := inbox.New(db)

	sms := virtual.Message{
		EventID: verify.NewID(rand.Reader), RequestID: verify.NewID(rand.Reader), Number: "447700900000",
		Channel: verify.SMS, From: "Acme", Text: "코드 1234 <b>", SentAt: at(2),
	}
	call := virtual.Message{
		EventID: verify.NewID(rand.Reader), RequestID: sms.RequestID, Number: "447700900000",
		Channel: verify.TTS, From: "VERIFY", Text: "1, 2, 3, 4", SentAt: at(1),
		Script: message.Script{Locale: "ko-kr", Parts: []message.Part{{Text: "A & B"}, {Spell: "1234"}, {Pause: time.Second}}},
	}
	other := sms
	other.EventID, other.Number = verify.NewID(rand.Reader), "447700900001"
	again := sms // a second copy of the event, also listed
	again.SentAt = at(3)

	for _, m := range []virtual.Message{sms, other, call, again} {
		must(t, box.AddMessage(t.Context(), m))
	}
	tests := []struct {
		name   string
		number string
		limit  int
		want   []virtual.Message // in order of arrival
	}{
		{"all of a number", sms.Number, 10, []virtual.Message{sms, call, again}},
		{"the newest of a number", sms.Number, 2, []virtual.Message{call, again}},
		{"another number", other.Number, 10, []virtual.Message{other}},
		{"no such number", "44770090000", 10, nil},
		{"all", "", 10, []virtual.Message{sms, other, call, again}},
		{"the newest of all", "", 3, []virtual.Message{other, call, again}},
	}
	for _, tt := range tests {
		if got, err := box.Messages(t.Context(), tt.number, tt.limit); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	for _, want := range []virtual.Message{again, call} {
		if got, ok, err := box.Message(t.Context(), want.EventID); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Message(%s) = %+v, %v, %v; want %+v", want.EventID, got, ok, err, want)
		}
	}
	if _, ok, err := box.Message(t.Context(), verify.NewID(rand.Reader)); ok || err != nil {
		t.Errorf("a message of an unknown event: %v, %v", ok, err)
	}
}
