package store_test

import (
	"context"
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

// Several nodes on one database. No node may change rows that another node has read for a
// decision before that decision is committed.

// twoNodes opens a database twice.
func twoNodes(t *testing.T) [2]*store.DB {
	t.Helper()
	database := postgres(t)
	return [2]*store.DB{openFile(t, database, key), openFile(t, database, key)}
}

// each runs do n times on each node, all concurrently.
func each(nodes [2]*store.DB, n int, do func(db *store.DB, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		for _, db := range nodes {
			wg.Go(func() { do(db, i) })
		}
	}
	wg.Wait()
}

// insist starts a verification and repeats the start while other writes prevent it. If
// scopes lock rows in different orders, a test waits a second for each deadlock.
func insist(t *testing.T, db *store.DB, scope store.Scope, b verify.Beginning) error {
	for {
		if _, err := startIn(t.Context(), db, scope, b, false, t0); !errors.Is(err, store.ErrOverloaded) {
			return err
		}
	}
}

// TestNodesStart: of concurrent starts for a number one succeeds. The others are refused
// as concurrent or return ErrRunning.
func TestNodesStart(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	const numbers = 20
	var started [numbers]atomic.Int32
	var collided atomic.Int32
	each(nodes, 5*numbers, func(db *store.DB, i int) {
		number := i % numbers
		scope := store.Scope{Account: "demo0001", Charges: true}
		if i >= 2*numbers {
			scope = store.Scope{}
		}
		b := verify.Beginning{Request: request("demo0001", fmt.Sprintf("4477009%05d", number))}
		err := insist(t, db, scope, b)
		switch {
		case err == nil:
			started[number].Add(1)
		case errors.Is(err, store.ErrRunning):
			collided.Add(1)
		case !isRefusal(err, verify.KindConcurrent):
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

// TestNodesDue: each row that is due is leased once, though all nodes look at the same time.
func TestNodesDue(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	list := plan(t, nodes[0], make([]float64, 60)...)
	var mu sync.Mutex
	taken := map[verify.ID][]string{}
	var nextNode atomic.Int32
	each(nodes, 40, func(db *store.DB, _ int) {
		node := fmt.Sprint("node-", nextNode.Add(1))
		for {
			var mine []verify.ID
			if err := db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) (err error) {
				mine, err = leaseDue(tx, node, 3)
				return err
			}); err != nil {
				t.Error(err)
				return
			}
			if len(mine) == 0 {
				return // all are leased, or locked by a node that leases them
			}
			mu.Lock()
			for _, id := range mine {
				taken[id] = append(taken[id], node)
			}
			mu.Unlock()
		}
	})
	if len(taken) != len(list) {
		t.Errorf("%d of %d rows were leased", len(taken), len(list))
	}
	for id, by := range taken {
		if len(by) != 1 || get(t, nodes[0], id).Lease.Node != by[0] {
			t.Errorf("%s was leased by %v", id, by)
		}
	}
}

// respond records the response of a carrier, as the engine does.
func respond(t *testing.T, db *store.DB, id verify.ID, refs ...string) error {
	return db.Write(t.Context(), store.Scope{Changes: id}, func(tx *store.Tx) error {
		v, _, err := tx.Verification(id)
		if err != nil {
			return err
		}
		o := accepted(v, refs...)
		o.Early = map[string]verify.Part{}
		for _, ref := range refs {
			early, ok, err := tx.TakeReceipt(verify.Ref{Carrier: "a", ID: ref}, t0)
			if err != nil {
				return err
			}
			if ok {
				o.Early[ref] = early
			}
		}
		return tx.Save(v.Outcome(o, onFailure(), t0))
	})
}

// receive records a delivery report, as the engine does. It is kept if its message is not
// known yet.
func receive(t *testing.T, db *store.DB, ref string) error {
	r := verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: ref}, State: verify.EventDelivered}
	report := func(tx *store.Tx) (known bool, err error) {
		id, ok, err := tx.VerificationOf(r.Ref)
		if err != nil || !ok {
			return false, err
		}
		v, _, err := tx.Verification(id)
		if err != nil {
			return true, err
		}
		c, _, changed := v.Receipt(r, onFailure(), t0)
		if changed {
			err = tx.Save(c)
		}
		return true, err
	}
	return db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
		known, err := report(tx)
		if known || err != nil {
			return err
		}
		if err := tx.LockRef(r.Ref); err != nil {
			return err
		}
		if known, err = report(tx); known || err != nil {
			return err
		}
		return tx.KeepReceipt(r, t0)
	})
}

// TestNodesReceipt: a receipt is applied if it arrives before or after the response of its
// carrier, on the same or the other node.
func TestNodesReceipt(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	const messages = 100
	var ids [messages]verify.ID
	for i := range ids {
		ids[i] = begin(t, nodes[0], request("demo0001", fmt.Sprintf("4477009%05d", i)), t0).ID
	}
	var wg sync.WaitGroup
	for i, id := range ids {
		refs := []string{fmt.Sprint(i, "/0"), fmt.Sprint(i, "/1")}
		wg.Go(func() {
			if err := respond(t, nodes[i%2], id, refs...); err != nil {
				t.Error(err)
			}
		})
		for _, ref := range refs {
			wg.Go(func() {
				if err := receive(t, nodes[(i+1)%2], ref); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for i, id := range ids {
		e := find(t, nodes[0], id).Events[0]
		if e.State != verify.EventDelivered || len(e.Parts) != 2 || e.Parts[0].State != verify.EventDelivered || e.Parts[1].State != verify.EventDelivered {
			t.Errorf("event %d is %+v", i, e)
		}
		wantReceipt(t, nodes[1], fmt.Sprint(i, "/0"), t0, "", "")
	}
}

// TestNodesParts: the parts of a message are reported to two nodes at the same time, and no
// report is lost.
func TestNodesParts(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	for round := range 30 {
		refs := []string{fmt.Sprint(round, "/0"), fmt.Sprint(round, "/1")}
		v := sent(t, nodes[0], request("demo0001", fmt.Sprintf("4477009%05d", round)), t0, refs...)
		var wg sync.WaitGroup
		for i, db := range nodes {
			wg.Go(func() {
				if err := receive(t, db, refs[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if e := find(t, nodes[0], v.ID).Events[0]; e.State != verify.EventDelivered || e.Carrier != "a" {
			t.Errorf("the event is %+v", e)
		}
	}
}

// TestNodesBalance: concurrent charges and top-ups on two nodes are each applied once.
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
		case isNoCredit(err):
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

// TestNodesChargeStarts: each start is charged once, while nodes wait for each other's locks of
// numbers and balances.
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
		scope := store.Scope{Account: req.Account, Charges: true}
		if i%4 < 2 {
			scope = store.Scope{Number: req.To.Given, Begins: req.Account, Account: req.Account}
		}
		switch err := insist(t, db, scope, verify.Beginning{Request: req, Price: 1}); {
		case err == nil:
			started[account].Add(1)
		case !isNoCredit(err) && !isRefusal(err, verify.KindConcurrent) && !errors.Is(err, store.ErrRunning):
			t.Error(err)
		}
	})
	if a, b := started[0].Load(), started[1].Load(); a != 25 || b != numbers {
		t.Errorf("%d and %d have started, want 25 and %d", a, b, numbers)
	}
	wantBalance(t, nodes[0], "demo0001", 0, 25)
	wantBalance(t, nodes[1], "rich0001", 1000-numbers, numbers)
}

// TestNodesFence: a node that was paused while another leased its row neither extends nor
// releases that lease, and its outcome of an older attempt changes no state.
func TestNodesFence(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	asleep := begin(t, nodes[0], request("demo0001", "447700900000"), t0)

	var taken verify.Verification
	write(t, nodes[1], func(tx *store.Tx) error {
		rows, _, err := tx.Due(at(15), 1)
		if err != nil || len(rows) != 1 || rows[0].Reason != verify.LeaseEnded {
			return errors.Join(err, fmt.Errorf("due is %+v", rows))
		}
		runner := verify.Runner{Node: "awake", InFlight: func(verify.ID) bool { return false }, OnFailure: onFailure()}
		c := rows[0].Recover(runner, verify.Uncapped{}, at(15), rand.Reader)
		if c.Send == nil {
			t.Error("the event is not sent again")
		}
		taken = c.Verification
		return tx.Save(c)
	})
	late := outcome(asleep, verify.EventRefused)
	write(t, nodes[0], func(tx *store.Tx) error {
		v, _, err := tx.Verification(asleep.ID)
		return errors.Join(err, tx.Save(v.Outcome(late, onFailure(), at(16))), tx.Renew(asleep.ID, asleep.Lease.Token, at(99)))
	})
	same(t, nodes[0], taken)
}

// TestNodesRenew: a node renews many leases in one transaction, and a node that releases
// leases locks many rows. A renewal skips locked rows: waiting could deadlock.
func TestNodesRenew(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	list := plan(t, nodes[0], 125, 125)
	for i := range list {
		list[i] = put(t, nodes[0], lease(list[i], "node-1", at(15)))
	}
	write(t, nodes[0], func(tx *store.Tx) error {
		if _, ok, err := tx.Verification(list[0].ID); err != nil || !ok {
			return errors.Join(err, errors.New("a row is missing"))
		}
		return nodes[1].Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			return errors.Join(tx.Renew(list[0].ID, list[0].Lease.Token, at(30)), tx.Renew(list[1].ID, list[1].Lease.Token, at(30)))
		})
	})
	for i, want := range []time.Time{at(15), at(30)} {
		if got := get(t, nodes[0], list[i].ID).Lease.Until; !got.Equal(want) {
			t.Errorf("lease %d ends at %v, want %v", i, got, want)
		}
	}
}

// TestNodesFree: FreeVerification and Due skip rows that another transaction locks, and
// Verification and RunningOf wait for them.
func TestNodesFree(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	list := plan(t, nodes[0], 1, 2)
	waited := make(chan error, 1)
	write(t, nodes[0], func(tx *store.Tx) error {
		v, _, err := tx.Verification(list[0].ID)
		if err != nil {
			return err
		}
		err = nodes[1].Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			_, locked, err := tx.FreeVerification(list[0].ID)
			_, free, freeErr := tx.FreeVerification(list[1].ID)
			if locked || !free {
				t.Errorf("the locked row is free: %v; the other: %v", locked, free)
			}
			rows, _, dueErr := tx.Due(at(10), 10)
			if len(rows) != 1 || rows[0].ID != list[1].ID {
				t.Errorf("due are %+v, want the row without a lock", rows)
			}
			return errors.Join(err, freeErr, dueErr)
		})
		go func() {
			waited <- nodes[1].Write(context.WithoutCancel(t.Context()), store.Scope{}, func(tx *store.Tx) error {
				running, err := tx.RunningOf(list[0].To.Given)
				if len(running) != 1 || running[0].Lease.Node != "node-2" {
					t.Errorf("RunningOf is %+v, want the change of the other node", running)
				}
				return err
			})
		}()
		return errors.Join(err, tx.Save(verify.Change{Verification: lease(v, "node-2", at(15))}))
	})
	must(t, <-waited)
}

// TestNodesForget: an erasure leaves the history of a number that another node began to
// verify after the erasure found none.
func TestNodesForget(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	const number = "447700900000"
	var begun verify.Verification
	must(t, nodes[0].Write(t.Context(), store.Scope{Number: number}, func(tx *store.Tx) error {
		running, err := tx.RunningOf(number)
		if err != nil {
			return err
		}
		if len(running) > 0 {
			t.Errorf("in progress are %v, want none", running)
		}
		begun, err = start(t.Context(), nodes[1], verify.Beginning{Request: request("demo0001", number)}, false, t0)
		if err != nil {
			return err
		}
		found, err := tx.ForgetNumberHistory(number)
		if found {
			t.Error("a history of the number was deleted")
		}
		return err
	}))
	write(t, nodes[0], func(tx *store.Tx) error {
		if v, ok, err := tx.Running("demo0001", begun.To); v.ID != begun.ID || !ok || err != nil {
			t.Errorf("in progress is %s, %v (%v), want %s", v.ID, ok, err, begun.ID)
		}
		return nil
	})
}

// TestNodesRunning: a start does not wait for the verification of another account that another
// node has locked.
func TestNodesRunning(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 0)
	addAccount(t, nodes[0], "demo0002", 0)
	const number = "447700900000"
	other := begin(t, nodes[0], request("demo0001", number), t0)
	must(t, nodes[0].Write(t.Context(), store.Scope{Changes: other.ID}, func(*store.Tx) error {
		_, err := start(t.Context(), nodes[1], verify.Beginning{Request: request("demo0002", number)}, false, t0)
		return err // lock timeout if the start waited for the row
	}))
}
