package retention_test

import (
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/retention"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestStaleRun: a run that began minutes before, because its process was paused, does not
// treat rows written in the meantime as state from the future.
func TestStaleRun(t *testing.T) {
	engines(t, retention.Keep{Codes: 24 * time.Hour}, func(h *house) {
		later := t0.Add(10 * time.Minute)
		must(t, inbox.New(h.db).AddMessage(t.Context(), virtual.Message{EventID: verify.ID{1}, Number: number, Channel: verify.SMS, Text: "1234", SentAt: later}))
		must(t, h.db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			return tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "1"}, State: verify.EventDelivered}, later)
		}))
		n, err := h.db.ForgetMessages(t.Context(), t0.Add(-time.Hour), t0, 10)
		must(t, err)
		must(t, h.db.ForgetReceipts(t.Context(), t0))
		var found bool
		must(t, h.db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			_, ok, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: "1"}, later)
			found = ok
			return err
		}))
		if n != 0 || !found {
			t.Errorf("%d messages of now were forgotten, and the receipt of now is found: %t", n, found)
		}
	})
}
