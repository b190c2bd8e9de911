package store_test

import (
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/store"
	"countersign/internal/verify"
)

func testBacklog(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v := begin(t, db, request("demo0001", "447700900000"), t0)
	begin(t, db, request("demo0001", "447700900001"), t0.Add(time.Minute))
	write(t, db, func(tx *store.Tx) error {
		return tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "1"}, State: verify.EventDelivered}, t0)
	})
	due, _ := v.Due()
	for _, tt := range []struct {
		name    string
		now     time.Time
		overdue time.Time
		want    store.Backlog
	}{
		{"nothing due", due.Add(-time.Millisecond), due.Add(-time.Minute), store.Backlog{Receipts: 1}},
		{"due", due, due, store.Backlog{Due: 1, Receipts: 1}},
		{"overdue", due.Add(5 * time.Second), due.Add(time.Millisecond), store.Backlog{Due: 1, Overdue: 1, Receipts: 1}},
		{"the receipt has waited too long", t0.Add(time.Hour + time.Millisecond), t0, store.Backlog{Due: 2}},
	} {
		got, err := db.Backlog(t.Context(), tt.now, tt.overdue)
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	times, err := db.Vault().Times(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"file", "account", "secret", "pin", "code"} {
		if times[key].IsZero() {
			t.Errorf("no time of the key %s in %v", key, times)
		}
	}
	// A write counts as queued until just after its answer.
	await.Until(t, "without queued writes", func() bool { return db.Stats().Queued == 0 })
	if s := db.Stats(); s.QueueLimit == 0 || s.Read.Limit == 0 {
		t.Errorf("stats %+v", s)
	}
}
