package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

var errMine = errors.New("my own")

// testWriteUndone: a failed transaction changes no row, and its caller gets its own error.
func testWriteUndone(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100)
	v := sent(t, db, request("demo0001", "447700900000"), t0, "1")
	next, err := v.Trigger("node-1", verify.Uncapped{}, at(1), zeros{})
	must(t, err)
	next.Entries = append(next.Entries, verify.Entry{Key: "cost/1", Kind: verify.CostEntry, Amount: -1, At: at(1)})
	next.Refs = append(next.Refs, verify.Ref{Carrier: "a", ID: "2"})
	err = db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
		c, err := beginning(tx, verify.Beginning{Request: request("demo0001", "447700900001"), Price: 30}, false, t0)
		return errors.Join(err, tx.TopUp("demo0001", 5, t0), tx.Save(next), tx.Save(c),
			tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "3"}, State: verify.EventDelivered}, t0), errMine)
	})
	if !errors.Is(err, errMine) || err.Error() != errMine.Error() {
		t.Errorf("got %v, want only the caller's own error", err)
	}
	same(t, db, v)
	wantOf(t, db, "a", "2", verify.ID{})
	wantReceipt(t, db, "3", t0, "", "")
	entries, err := db.Entries(t.Context(), store.EntryFilter{Account: "demo0001", Limit: 10})
	wantEntries(t, entries, err, "top-up 100 ")
	wantBalance(t, db, "demo0001", 100, 0)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = db.Write(ctx, store.Scope{}, func(tx *store.Tx) error { return tx.TopUp("demo0001", 5, t0) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v, want context.Canceled", err)
	}
	wantBalance(t, db, "demo0001", 100, 0)
}

// zeros is a source of zeros instead of random bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// testParallelWrites: of concurrent writes, exactly the acknowledged ones are durable.
func testParallelWrites(t *testing.T, db *store.DB) {
	const writers = 300
	addAccount(t, db, "demo0001", 0)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			number := fmt.Sprintf("4477009%05d", i)
			fails := i%3 == 0
			err := db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
				req := request("demo0001", number)
				if i%7 == 0 {
					req.Account = "nobody00" // unknown
				}
				c, err := beginning(tx, verify.Beginning{Request: req}, false, t0)
				if err := errors.Join(err, tx.Save(c)); err != nil || !fails {
					return err
				}
				return errMine
			})
			if fails := fails || i%7 == 0; fails != (err != nil) {
				t.Errorf("writer %d: %v, want an error: %v", i, err, fails)
			}
		})
	}
	wg.Wait()
	for i := range writers {
		write(t, db, func(tx *store.Tx) error {
			_, ok, err := tx.Running("demo0001", verify.PhoneAddress(fmt.Sprintf("4477009%05d", i), ""))
			if want := i%3 != 0 && i%7 != 0; ok != want {
				t.Errorf("writer %d: written %v, want %v", i, ok, want)
			}
			return err
		})
	}
}
