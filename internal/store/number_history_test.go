package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
)

// twenty allows 20 messages a day to a number.
func twenty() fraud.Caps {
	return fraud.Caps{Sends: []fraud.Window{{Count: 20, Within: 24 * time.Hour}}, Remember: 48 * time.Hour}
}

// sendOne counts a message to a number as the engine does, unless a cap refuses it.
func sendOne(t *testing.T, db *store.DB, scope store.Scope, number, account string) (sent bool) {
	t.Helper()
	err := db.Write(t.Context(), scope, func(tx *store.Tx) error {
		sent = false
		g, err := tx.NumberHistory(number)
		if err != nil || twenty().MaySend(g.Number, account, t0) != nil {
			return err
		}
		sent = true
		g.Number = twenty().Sent(g.Number, account, t0)
		return tx.SaveNumberHistory(g, twenty().StaleAt(g.Number))
	})
	if err != nil {
		t.Error(err)
	}
	return sent && err == nil
}

func historyOf(t *testing.T, db *store.DB, number string) fraud.Number {
	t.Helper()
	n, err := db.NumberHistory(t.Context(), number)
	must(t, err)
	return n
}

func testNumberHistories(t *testing.T, db *store.DB) {
	const number, other = "447700900001", "447700900002"
	for i, scope := range []store.Scope{{}, {Number: number}, {Account: "demo0001", Number: number}, {Number: other}} {
		if !sendOne(t, db, scope, number, "demo0001") {
			t.Errorf("message %d is refused", i+1)
		}
	}
	if n := historyOf(t, db, number); len(n.Uses) != 1 || len(n.Uses[0].Sends) != 4 || n.Uses[0].Account != "demo0001" {
		t.Errorf("the number is %+v, want 4 messages of demo0001", n)
	}
	if n := historyOf(t, db, other); len(n.Uses) != 0 {
		t.Errorf("another number is %+v", n)
	}
	err := db.Write(t.Context(), store.Scope{Number: number}, func(tx *store.Tx) error {
		g, err := tx.NumberHistory(number)
		must(t, err)
		g.Number = twenty().Sent(g.Number, "demo0001", t0)
		must(t, tx.SaveNumberHistory(g, at(1)))
		return errMine
	})
	if n := historyOf(t, db, number); err == nil || len(n.Uses[0].Sends) != 4 {
		t.Errorf("a write that failed (%v) leaves %+v", err, n)
	}
}

// testNumberHistoryTwice: a job reads the counts of an earlier job of the same transaction,
// and its own.
func testNumberHistoryTwice(t *testing.T, db *store.DB) {
	const number = "447700900001"
	must(t, db.Write(t.Context(), store.Scope{Number: number}, func(tx *store.Tx) error {
		for want := range 3 {
			g, err := tx.NumberHistory(number)
			must(t, err)
			if want > 0 && len(g.Uses[0].Sends) != want {
				t.Errorf("%d messages are counted, want %d", len(g.Uses[0].Sends), want)
			}
			g.Number = twenty().Sent(g.Number, "demo0001", t0)
			must(t, tx.SaveNumberHistory(g, twenty().StaleAt(g.Number)))
		}
		return nil
	}))
	if n := historyOf(t, db, number); len(n.Uses) != 1 || len(n.Uses[0].Sends) != 3 {
		t.Errorf("the number is %+v, want 3 messages", n)
	}
}

func testNumberHistoryParallel(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	const number = "447700900001"
	v := begin(t, db, request("demo0001", number), t0)
	scopes := []store.Scope{{}, {Number: number}, {Account: "demo0001", Number: number}, {Verification: v.ID}}
	var sent atomic.Int32
	each([2]*store.DB{db, db}, 50, func(db *store.DB, i int) {
		if sendOne(t, db, scopes[i%len(scopes)], number, fmt.Sprintf("demo%04d", i%5)) {
			sent.Add(1)
		}
	})
	if n := sent.Load(); n != 20 {
		t.Errorf("%d of 100 concurrent messages pass, want 20", n)
	}
}

func testForgetNumberHistory(t *testing.T, db *store.DB) {
	const number, other = "447700900001", "447700900002"
	forget := func(again bool) (found bool) {
		must(t, db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) (err error) {
			if found, err = tx.ForgetNumberHistory(number); err != nil || !again {
				return err
			}
			g, err := tx.NumberHistory(number)
			must(t, err)
			if len(g.Uses) != 0 {
				t.Errorf("after its deletion the history is %+v", g)
			}
			g.Number = twenty().Sent(g.Number, "demo0001", t0)
			return tx.SaveNumberHistory(g, twenty().StaleAt(g.Number))
		}))
		return found
	}
	sendOne(t, db, store.Scope{}, number, "demo0001")
	sendOne(t, db, store.Scope{}, number, "demo0001")
	sendOne(t, db, store.Scope{}, other, "demo0001")
	if !forget(true) {
		t.Error("the history was empty")
	}
	if n := historyOf(t, db, number); len(n.Uses) != 1 || len(n.Uses[0].Sends) != 1 {
		t.Errorf("forgotten and used again, the number is %+v", n)
	}
	if !forget(false) || forget(false) {
		t.Error("want found = true once, then false")
	}

	// A stale history is deleted at the end of its day.
	stale := twenty().StaleAt(historyOf(t, db, other))
	for _, tt := range []struct {
		at   time.Time
		want int
	}{{stale, 0}, {stale.Add(24 * time.Hour), 1}, {stale.Add(24 * time.Hour), 0}} {
		if n, _, err := db.PruneNumberHistories(t.Context(), new(store.NumberHistoryWalk), tt.at, 10); n != tt.want || err != nil {
			t.Errorf("at %v %d histories are deleted (%v), want %d", tt.at, n, err, tt.want)
		}
	}
	if n := historyOf(t, db, other); len(n.Uses) != 0 {
		t.Errorf("the stale number is %+v", n)
	}
}

// testNumberHistoryWalk: a walk in small steps visits every history and ends. The next walk
// is on the next day.
func testNumberHistoryWalk(t *testing.T, db *store.DB) {
	const old, limit = 25, 4
	for i := range old {
		sendOne(t, db, store.Scope{}, fmt.Sprintf("4477009%05d", i), "demo0001")
	}
	day := twenty().StaleAt(historyOf(t, db, "447700900000")).Truncate(24 * time.Hour).Add(24 * time.Hour)
	var w store.NumberHistoryWalk
	walk := func(now time.Time) (forgotten int) {
		for steps := 1; ; steps++ {
			n, more, err := db.PruneNumberHistories(t.Context(), &w, now, limit)
			must(t, err)
			if forgotten += n; !more {
				return forgotten
			}
			if n > limit || steps > old {
				t.Fatalf("step %d forgets %d", steps, n)
			}
		}
	}
	for _, tt := range []struct {
		at   time.Time
		want int
	}{{day.Add(-1), 0}, {day, old}, {day.Add(1), 0}} {
		if n := walk(tt.at); n != tt.want {
			t.Errorf("at %v %d are forgotten, want %d", tt.at, n, tt.want)
		}
	}
	sendOne(t, db, store.Scope{}, "447700900000", "demo0001") // stale on the same day
	if n := walk(day.Add(24*time.Hour - 1)); n != 0 {
		t.Errorf("a second walk on a day forgets %d", n)
	}
	if n := walk(day.Add(24 * time.Hour)); n != 1 {
		t.Errorf("the walk of the next day forgets %d, want 1", n)
	}
}

// TestNodesNumberHistory: of a hundred concurrent messages of two nodes to a number, twenty
// pass, with or without an earlier history. The nodes lock several numbers in two orders
// without a deadlock.
func TestNodesNumberHistory(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	numbers := []string{"447700900001", "447700900002", "447700900003"}
	sendOne(t, nodes[0], store.Scope{}, numbers[0], "demo0001")
	var sent [3]atomic.Int32
	sent[0].Store(1)
	each(nodes, 150, func(db *store.DB, i int) {
		n := i % len(numbers)
		if db == nodes[1] {
			n = len(numbers) - 1 - n
		}
		if sendOne(t, db, store.Scope{Number: numbers[n]}, numbers[n], "demo0001") {
			sent[n].Add(1)
		}
	})
	for i := range sent {
		if n := sent[i].Load(); n != 20 {
			t.Errorf("%d messages to number %d, want 20", n, i)
		}
	}
}

// TestNodesHeldNumbers: a number that another node has locked is held; a number without a
// row is not.
func TestNodesHeldNumbers(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	const mine, theirs, unknown = "447700900001", "447700900002", "447700900003"
	sendOne(t, nodes[0], store.Scope{}, mine, "demo0001")
	sendOne(t, nodes[0], store.Scope{}, theirs, "demo0001")
	must(t, nodes[0].Write(t.Context(), store.Scope{Number: theirs}, func(*store.Tx) error {
		return nodes[1].Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
			held, err := tx.HeldNumbers([]string{mine, theirs, unknown})
			if err != nil || held[mine] || !held[theirs] || held[unknown] {
				t.Errorf("held: %v (%v), want %s", held, err, theirs)
			}
			g, err := tx.NumberHistory(mine)
			if err != nil || len(g.Uses) != 1 {
				t.Errorf("the free number is %+v (%v)", g, err)
			}
			return nil
		})
	}))
	must(t, nodes[1].Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
		if held, err := tx.HeldNumbers([]string{mine, theirs}); err != nil || held[mine] || held[theirs] {
			t.Errorf("held afterwards: %v (%v)", held, err)
		}
		return nil
	}))
}

// testResetNumberHistory: ResetNumberHistory clears only the given number. It reports false for a cleared
// number and for expired counts.
func testResetNumberHistory(t *testing.T, db *store.DB) {
	const number, other = "447700900001", "447700900002"
	clear := func(number string, now time.Time, want bool) {
		t.Helper()
		if found, err := db.ResetNumberHistory(t.Context(), number, twenty(), now); found != want || err != nil {
			t.Errorf("ResetNumberHistory(%s) = %v, %v; want %v", number, found, err, want)
		}
	}
	clear(number, t0, false)
	for range 20 {
		sendOne(t, db, store.Scope{Number: number}, number, "demo0001")
	}
	sendOne(t, db, store.Scope{Number: other}, other, "demo0001")
	if sendOne(t, db, store.Scope{Number: number}, number, "demo0001") {
		t.Fatal("message 21 of a day is sent")
	}
	clear(number, t0, true)
	clear(number, t0, false)
	if !sendOne(t, db, store.Scope{Number: number}, number, "demo0001") {
		t.Error("no message is sent after the number was cleared")
	}
	if n := historyOf(t, db, other); len(n.Uses) != 1 || len(n.Uses[0].Sends) != 1 {
		t.Errorf("another number is %+v, want 1 message", n)
	}
	clear(other, t0.AddDate(0, 0, 3), false)
}

// testNumberHistoryClockBack: after the clock was set back, a verification that began before
// that step, for another account, still keeps the row of its address.
func testNumberHistoryClockBack(t *testing.T, db *store.DB) {
	const number = "447700900001"
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "demo0002", 0)
	begin(t, db, request("demo0001", number), t0)
	begin(t, db, request("demo0002", number), t0.AddDate(0, 0, -2))
	must(t, db.Write(t.Context(), store.Scope{Number: number}, func(tx *store.Tx) error {
		h, err := tx.NumberHistory(number)
		must(t, err)
		h.Number = twenty().Sent(h.Number, "demo0002", t0.AddDate(0, 0, -2))
		return tx.SaveNumberHistory(h, t0.AddDate(0, 0, -1))
	}))
	if n, _, err := db.PruneNumberHistories(t.Context(), new(store.NumberHistoryWalk), t0, 10); n != 0 || err != nil {
		t.Errorf("%d histories are forgotten (%v) while a verification is in progress", n, err)
	}
	write(t, db, func(tx *store.Tx) error {
		if _, found, err := tx.Running("demo0001", request("demo0001", number).To); !found || err != nil {
			t.Errorf("the verification in progress is not found (%v)", err)
		}
		return nil
	})
}
