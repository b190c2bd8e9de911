package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// Several nodes on one database. What one node decides by reading, no other may
// change before it is written.

// twoNodes opens a database twice.
func twoNodes(t *testing.T) [2]*store.DB {
	t.Helper()
	database := postgres(t)
	return [2]*store.DB{openFile(t, database, key), openFile(t, database, key)}
}

// each runs do n times on each node, all at once.
func each(nodes [2]*store.DB, n int, do func(db *store.DB, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		for _, db := range nodes {
			wg.Go(func() { do(db, i) })
		}
	}
	wg.Wait()
}

// TestNodesStart: of all that start to verify a number one does, and the others
// learn that it runs.
func TestNodesStart(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	const numbers = 20
	var started [numbers]atomic.Int32
	var collided atomic.Int32
	each(nodes, 5*numbers, func(db *store.DB, i int) {
		number := i % numbers
		err := db.WriteFor(t.Context(), "demo0001", func(tx *store.Tx) error {
			req := request("demo0001", fmt.Sprintf("4477009%05d", number))
			if _, ok, err := tx.Running(req.Account, req.Number); err != nil || ok {
				return errors.Join(err, errMine)
			}
			v, e := verify.Start(req, 0, t0, rand.Reader)
			return tx.Insert(&store.Row{Verification: v}, e)
		})
		switch {
		case err == nil:
			started[number].Add(1)
		case errors.Is(err, store.ErrRunning):
			collided.Add(1)
		case !errors.Is(err, errMine):
			t.Error(err)
		}
	})
	for i := range started {
		if n := started[i].Load(); n != 1 {
			t.Errorf("number %d: %d verifications run", i, n)
		}
	}
	t.Logf("%d collided", collided.Load())
}

// TestNodesClaim: each row that is due has one taker, though all look at once.
func TestNodesClaim(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	rows := plan(t, nodes[0], make([]float64, 60)...)
	var mu sync.Mutex
	taken := map[verify.ID][]string{}
	var nextNode atomic.Int32
	each(nodes, 40, func(db *store.DB, _ int) {
		node := fmt.Sprint("node-", nextNode.Add(1))
		for {
			var mine []*store.Row
			if err := db.Write(t.Context(), func(tx *store.Tx) (err error) {
				mine, _, err = tx.Due(at(1), 3)
				for _, r := range mine {
					r.Take(node, at(15))
					if err := tx.Save(r); err != nil {
						return err
					}
				}
				return err
			}); err != nil {
				t.Error(err)
				return
			}
			if len(mine) == 0 {
				return // all are taken, or being taken
			}
			mu.Lock()
			for _, r := range mine {
				taken[r.ID] = append(taken[r.ID], node)
			}
			mu.Unlock()
		}
	})
	if len(taken) != len(rows) {
		t.Errorf("%d of %d rows were taken", len(taken), len(rows))
	}
	for id, by := range taken {
		if len(by) != 1 || get(t, nodes[0], "demo0001", id).Node != by[0] {
			t.Errorf("%s was taken by %v", id, by)
		}
	}
}

// TestNodesReceipt: a receipt meets the answer of the carrier, whichever comes
// first, and on whichever node.
func TestNodesReceipt(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	_, event := insert(t, nodes[0], request("demo0001", "447700900000"), t0)
	answer := func(db *store.DB, ref string) error {
		return db.Write(t.Context(), func(tx *store.Tx) error {
			p := verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: ref, State: verify.EventAccepted}
			early, ok, err := tx.TakeReceipt("a", ref, t0)
			if err != nil {
				return err
			}
			if ok {
				p = p.Report(early.State, early.Error)
			}
			return tx.SavePart(event.Key(), p)
		})
	}
	receipt := func(db *store.DB, ref string) error {
		return db.Write(t.Context(), func(tx *store.Tx) error {
			id, p, ok, err := tx.Part("a", ref)
			if err != nil {
				return err
			}
			if !ok {
				return tx.KeepReceipt(verify.Part{Carrier: "a", Ref: ref, State: verify.EventDelivered}, t0)
			}
			return tx.SavePart(id, p.Report(verify.EventDelivered, ""))
		})
	}
	const refs = 200
	var wg sync.WaitGroup
	for i := range refs {
		ref := fmt.Sprint(i)
		wg.Go(func() {
			if err := answer(nodes[i%2], ref); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := receipt(nodes[(i+1)%2], ref); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range refs {
		ref := fmt.Sprint(i)
		if _, p, ok := loadPart(t, nodes[0], "a", ref); !ok || p.State != verify.EventDelivered {
			t.Errorf("part %s: %v, %+v", ref, ok, p)
		}
		wantReceipt(t, nodes[1], ref, t0, "", "")
	}
}

// TestNodesParts: the last two parts of a message are reported to two nodes at
// once, and one of them sees that it is delivered.
func TestNodesParts(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	for round := range 30 {
		_, event := insert(t, nodes[0], request("demo0001", fmt.Sprintf("4477009%05d", round)), t0)
		event.State = verify.EventAccepted
		write(t, nodes[0], func(tx *store.Tx) error { return tx.SaveEvent(event) })
		var refs [2]string
		for i := range refs {
			refs[i] = fmt.Sprint(round, "/", i)
			savePart(t, nodes[0], event.Key(), verify.Part{Attempt: 1, Seq: i, Count: 2, Carrier: "a", Ref: refs[i], State: verify.EventAccepted})
		}
		var wg sync.WaitGroup
		for i, db := range nodes {
			wg.Go(func() {
				if err := db.Write(t.Context(), func(tx *store.Tx) error {
					_, p, _, err := tx.Part("a", refs[i])
					if err != nil {
						return err
					}
					if err := tx.SavePart(event.Key(), p.Report(verify.EventDelivered, "")); err != nil {
						return err
					}
					e, _, err := tx.Event(event.Key())
					if err != nil {
						return err
					}
					parts, err := tx.Parts(event.Key())
					if err != nil {
						return err
					}
					return tx.SaveReported(e.Reported(parts))
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		event.State, event.Carrier = verify.EventDelivered, "a"
		wantEvent(t, nodes[0], event.Key(), event)
	}
}

// TestNodesBalance: what two nodes spend of one balance is spent once, and nothing
// is lost of what they add.
func TestNodesBalance(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	accounts := []string{"acct0001", "acct0002", "acct0003"}
	for _, a := range accounts {
		addAccount(t, nodes[0], a, 50)
	}
	var paid, refused atomic.Int32
	each(nodes, 150, func(db *store.DB, i int) {
		err := charge(t, db, priced(accounts[i%len(accounts)], 1), false)
		switch {
		case err == nil:
			paid.Add(1)
		case errors.Is(err, errNoCredit):
			refused.Add(1)
		default:
			t.Error(err)
		}
	})
	if paid.Load() != 150 || refused.Load() != 150 {
		t.Errorf("%d paid and %d refused, want 150 of each", paid.Load(), refused.Load())
	}
	each(nodes, 30, func(db *store.DB, i int) {
		if err := db.Credit(t.Context(), accounts[i%len(accounts)], 2, t0); err != nil {
			t.Error(err)
		}
	})
	for _, a := range accounts {
		wantBalance(t, nodes[1], a, 40, 50)
	}
}

// TestNodesChargeStarts: whatever starts is paid for, and nothing else is, while
// nodes wait for each other's changes of numbers and balance.
func TestNodesChargeStarts(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 25)
	addAccount(t, nodes[0], "rich0001", 1000)
	const numbers = 30
	var started [2]atomic.Int32
	each(nodes, 6*numbers, func(db *store.DB, i int) {
		account := i % 2
		req := request([]string{"demo0001", "rich0001"}[account], fmt.Sprintf("4477009%05d", i/2%numbers))
		v, e := verify.Start(req, 1, t0, rand.Reader)
		err := db.WriteFor(t.Context(), req.Account, func(tx *store.Tx) error {
			running, ok, err := unlessRunning(tx, tx.Charge, v, store.Payer{}, t0)
			if err != nil {
				return err
			}
			if running != nil && (ok || running.Number != req.Number || running.Account != req.Account) {
				t.Errorf("paid %v for another than %+v", ok, running)
			}
			if !ok {
				return errNoCredit
			}
			return tx.Insert(&store.Row{Verification: v}, e)
		})
		switch {
		case err == nil:
			started[account].Add(1)
		case !errors.Is(err, errNoCredit) && !errors.Is(err, store.ErrRunning):
			t.Error(err)
		}
	})
	if a, b := started[0].Load(), started[1].Load(); a != 25 || b != numbers {
		t.Errorf("%d and %d have started, want 25 and %d", a, b, numbers)
	}
	wantBalance(t, nodes[0], "demo0001", 0, 25)
	wantBalance(t, nodes[1], "rich0001", 1000-numbers, numbers)
}

// TestNodesFence: a node that stood still while another took its row changes
// nothing with what it writes late.
func TestNodesFence(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	row, event := insert(t, nodes[0], request("demo0001", "447700900000"), t0)
	row.Take("asleep", at(15))
	write(t, nodes[0], func(tx *store.Tx) error { return tx.Save(row) })
	stale := row.Fence

	var taken *store.Row
	write(t, nodes[1], func(tx *store.Tx) error {
		rows, _, err := tx.Due(at(15), 1)
		if err != nil || len(rows) != 1 {
			return errors.Join(err, fmt.Errorf("%d rows are due", len(rows)))
		}
		taken = rows[0]
		taken.Take("awake", at(30))
		event.Attempt++
		return errors.Join(tx.SaveEvent(event), tx.Save(taken))
	})
	late := event
	late.Attempt, late.State, late.Carrier = 1, verify.EventRefused, "a"
	write(t, nodes[0], func(tx *store.Tx) error {
		return errors.Join(tx.SaveEvent(late), tx.Renew(row.ID, stale, at(99)), tx.Release(row.ID, stale))
	})
	same(t, nodes[0], taken)
	wantEvent(t, nodes[0], event.Key(), event)
}

// TestNodesRenew: many claims are renewed in one transaction, and those who give
// claims back hold many rows, too. Whoever renews passes over what others hold: they
// would wait for each other.
func TestNodesRenew(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	rows := plan(t, nodes[0], 125, 125)
	write(t, nodes[0], func(tx *store.Tx) error {
		for _, r := range rows {
			r.Take("node-1", at(15))
			if err := tx.Save(r); err != nil {
				return err
			}
		}
		return nil
	})
	write(t, nodes[0], func(tx *store.Tx) error {
		if _, ok, err := tx.Find(rows[0].ID); err != nil || !ok {
			return errors.Join(err, errors.New("a row is not there"))
		}
		return nodes[1].Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.Renew(rows[0].ID, rows[0].Fence, at(30)), tx.Renew(rows[1].ID, rows[1].Fence, at(30)))
		})
	})
	for i, want := range []time.Time{at(15), at(30)} {
		if got := get(t, nodes[0], rows[i].Account, rows[i].ID).Until; !got.Equal(want) {
			t.Errorf("claim %d holds until %v, want %v", i, got, want)
		}
	}
}
