package store_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestPostgresCrash: after each of several crashes of the server under load, every
// acknowledged write exists. Every other write exists completely or not at all, and
// balances equal the ledger.
func TestPostgresCrash(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	database := server.Create(t, "template0")
	var nodes []*store.DB
	for range 2 {
		db, err := store.Open(t.Context(), store.Config{Database: database, Key: key, Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		defer db.Close()
		nodes = append(nodes, db)
	}
	addAccount(t, nodes[0], "demo0001", 1<<40)

	var mu sync.Mutex
	answered := map[verify.ID]bool{} // false after an error
	var down chan struct{}           // closed when the server runs again; nil while it runs
	var accepted, refused atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id, err := acceptOne(t, nodes[client%2], fmt.Sprintf("44770%02d%05d", client, i))
				mu.Lock()
				answered[id] = err == nil
				again := down
				mu.Unlock()
				if err == nil {
					accepted.Add(1)
					continue
				}
				refused.Add(1)
				if again != nil {
					<-again
				}
			}
		})
	}
	underLoad := func() {
		more := accepted.Load() + 50
		await.Until(t, "under load", func() bool { return accepted.Load() >= more })
	}
	for range 3 {
		underLoad()
		mu.Lock()
		down = make(chan struct{})
		mu.Unlock()
		before := refused.Load()
		server.Crash(t)
		await.Until(t, "refused", func() bool { return refused.Load() > before })
		server.Resume(t)
		mu.Lock()
		close(down)
		down = nil
		mu.Unlock()
	}
	underLoad()
	close(stop)
	wg.Wait()

	good, bad, kept := 0, 0, 0
	for id, ok := range answered {
		v, there, err := nodes[0].Verification(t.Context(), id)
		must(t, err)
		if there && len(v.Events) != 1 {
			t.Errorf("%s has %d events", id, len(v.Events))
		}
		switch {
		case ok && !there:
			t.Errorf("%s was acknowledged and is lost", id)
		case ok:
			good++
		case there:
			kept++
		default:
			bad++
		}
	}
	t.Logf("%d acknowledged, %d refused, %d refused but durable", good, bad, kept)
	if good < 100 || bad == 0 {
		t.Errorf("%d were acknowledged and %d refused: the load was too small", good, bad)
	}
	wantBalance(t, nodes[1], "demo0001", 1<<40-verify.Money(good+kept), good+kept)
}

func acceptOne(t *testing.T, db *store.DB, number string) (id verify.ID, err error) {
	b := verify.Beginning{Request: request("demo0001", number), Price: 1}
	return id, db.Write(t.Context(), store.Scope{Account: b.Account, Charges: true}, func(tx *store.Tx) error {
		c, err := beginning(tx, b, false, t0)
		if err != nil {
			return err
		}
		id = c.Verification.ID
		return tx.Save(c)
	})
}
