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

// testWriteUndone: of a transaction that fails nothing is kept, and its caller
// gets its own error.
func testWriteUndone(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100)
	row, e := insert(t, db, request("demo0001", "447700900000"), t0)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		v, event, _ := row.Trigger(at(1), zeros{})
		e.State = verify.EventAccepted
		return errors.Join(
			tx.TopUp("demo0001", 5, t0), tx.SaveEvent(e), tx.AddEvent(event),
			tx.Save(&store.Row{Verification: v}), tx.AddCheck(verify.Check{Verification: row.ID, Code: row.PIN}), errMine,
		)
	})
	if !errors.Is(err, errMine) || err.Error() != errMine.Error() {
		t.Errorf("got %v, want only the caller's own error", err)
	}
	rec := record(t, db, "demo0001", row.ID)
	if len(rec.EventList) != 1 || rec.EventList[0].State != verify.EventSubmitting || len(rec.CheckList) != 0 || rec.Events != 1 {
		t.Errorf("something of the failed transaction was kept: %+v", rec)
	}
	wantBalance(t, db, "demo0001", 100, 0)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = db.Write(ctx, func(tx *store.Tx) error { return tx.TopUp("demo0001", 5, t0) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v, want context.Canceled", err)
	}
	wantBalance(t, db, "demo0001", 100, 0)
}

// zeros is a source of randomness that is not random.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// testParallelWrites: of many writers at once, those and only those that were
// told so have written.
func testParallelWrites(t *testing.T, db *store.DB) {
	const writers = 300
	addAccount(t, db, "demo0001", 0)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			number := fmt.Sprintf("4477009%05d", i)
			fails := i%3 == 0
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				v, e := verify.Start(request("demo0001", number), 0, t0, zeros{})
				v.ID[0], v.ID[1], e.ID = byte(i), byte(i>>8), verify.ID{byte(i), byte(i >> 8)}
				e.Verification = v.ID
				if i%7 == 0 {
					return tx.AddEvent(e) // of a verification that is not there
				}
				if err := tx.Insert(&store.Row{Verification: v}, e); err != nil || !fails {
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
			_, ok, err := tx.Running("demo0001", fmt.Sprintf("4477009%05d", i))
			if want := i%3 != 0 && i%7 != 0; ok != want {
				t.Errorf("writer %d: written %v, want %v", i, ok, want)
			}
			return err
		})
	}
}
