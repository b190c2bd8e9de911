package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"countersign/internal/deliver"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestNodesReceiptOrder: nodes that record receipts of the same messages in opposite order
// do not wait for each other.
func TestNodesReceiptOrder(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	const messages = 64
	var refs []string
	for i := range messages {
		req := a.request()
		req.To = verify.PhoneAddress(fmt.Sprintf("4477009%05d", i), "GB")
		v, _ := a.orphanOf(req, 1)
		ref := fmt.Sprintf("ref-%d", i)
		refs = append(refs, ref)
		c := v.Outcome(verify.Outcome{Attempt: 1, State: verify.EventAccepted, Carrier: "phone", Refs: []string{ref}}, verify.OnFailure{}, at(1))
		must(t, a.db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error { return tx.Save(c) }))
	}
	deadlocks := func() (n int) {
		pgtest.Scan(t, a.path, `SELECT pg_stat_force_next_flush()::TEXT IS NULL`, new(bool))
		pgtest.Scan(t, a.path, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`, &n)
		return n
	}
	before := deadlocks()
	for round := range 5 {
		state := []verify.EventState{verify.EventDelivered, verify.EventAccepted}[min(1, round%2)]
		var calls sync.WaitGroup
		for i, node := range []*bench{a, b} {
			order := slices.Clone(refs)
			if i == 1 {
				slices.Reverse(order)
			}
			for _, ref := range order {
				calls.Go(func() {
					if err := node.Receipt(t.Context(), deliver.Receipt{Carrier: "phone", Ref: ref, State: state}); err != nil {
						t.Error(err)
					}
				})
			}
		}
		calls.Wait()
	}
	if n := deadlocks() - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}
