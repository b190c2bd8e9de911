package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/store"
	"countersign/internal/verify"
)

func settle(t *testing.T, db *store.DB, made time.Time, limit, want int) {
	t.Helper()
	n, err := db.SettleLedger(t.Context(), made, limit)
	must(t, err)
	if n != want {
		t.Errorf("%d entries were settled, want %d", n, want)
	}
}

func carry(t *testing.T, db *store.DB, made time.Time, limit, want int) {
	t.Helper()
	n, err := db.CarryLedger(t.Context(), made, limit)
	must(t, err)
	if n != want {
		t.Errorf("%d entries were carried over, want %d", n, want)
	}
}

// testLedgerMoves: moves of entries do not change the sum.
func testLedgerMoves(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100) // the first entry, at t0
	addAccount(t, db, "demo0002", 7)
	addAccount(t, db, "demo0003", 0)
	for i, amount := range []verify.Money{-30, 5, 20} {
		must(t, db.Credit(t.Context(), "demo0001", amount, at(float64(i+1))))
	}
	must(t, charge(t, db, priced("demo0001", 40), false)) // also at t0
	want := func(charges int) {
		t.Helper()
		wantBalance(t, db, "demo0001", 55, charges)
		wantBalance(t, db, "demo0002", 7, 0)
		wantBalance(t, db, "demo0003", 0, 0)
	}
	settle(t, db, t0.Add(-ms), 10, 0)
	settle(t, db, t0, 1, 1)
	want(1)
	settle(t, db, t0, 10, 2) // one of each account
	settle(t, db, at(1).Add(-ms), 10, 0)
	carry(t, db, at(1e6), 0, 0)
	want(1)
	carry(t, db, t0.Add(-ms), 10, 0)
	carry(t, db, t0, 2, 2) // two entries of the same time
	want(0)
	carry(t, db, at(1e6), 10, 1) // only settled entries
	settle(t, db, at(2), 10, 2)
	carry(t, db, at(2).Add(-ms), 10, 1)
	carry(t, db, at(2), 10, 1)
	want(0)
	settle(t, db, at(1e6), 10, 1)
	settle(t, db, at(1e6), 10, 0) // carried entries are not settled again
	carry(t, db, at(1e6), 10, 1)
	carry(t, db, at(1e6), 10, 0)
	want(0)
	must(t, db.Credit(t.Context(), "demo0001", 1, at(2e6)))
	wantBalance(t, db, "demo0001", 56, 0)
}

func testForgetMessages(t *testing.T, db *store.DB) {
	send := func(s float64) virtual.Message {
		m := virtual.Message{EventID: verify.NewID(rand.Reader), Number: "447700900000", Channel: verify.SMS, Text: "1234", SentAt: at(s)}
		must(t, inbox.New(db).AddMessage(t.Context(), m))
		return m
	}
	for i := range 4 {
		send(float64(i))
	}
	forget := func(sent time.Time, limit, want, left int) {
		t.Helper()
		n, err := db.ForgetMessages(t.Context(), sent, at(100), limit)
		must(t, err)
		list, err := inbox.New(db).Messages(t.Context(), "", 10)
		must(t, err)
		if n != want || len(list) != left {
			t.Errorf("%d were forgotten and %d are left, want %d and %d", n, len(list), want, left)
		}
	}
	forget(at(0).Add(-ms), 10, 0, 4)
	forget(at(0), 10, 1, 3)
	forget(at(100), 2, 2, 1)
	forget(at(100), 2, 1, 0)
	for range 2 { // from a clock that was ahead
		send(1e6)
	}
	send(0)
	forget(at(0), 2, 2, 1)
	forget(at(0), 2, 1, 0)
}

// testForgetReceipts: an early receipt is kept for an hour.
func testForgetReceipts(t *testing.T, db *store.DB) {
	keep(t, db, "1", verify.EventDelivered, "", at(0))
	must(t, db.ForgetReceipts(t.Context(), at(3600)))
	wantReceipt(t, db, "1", at(3600), verify.EventDelivered, "")
	keep(t, db, "1", verify.EventDelivered, "", at(0))
	must(t, db.ForgetReceipts(t.Context(), at(3600).Add(ms)))
	wantReceipt(t, db, "1", at(0), "", "") // not for a node with a stopped clock either
}

var errCrash = errors.New("crashed")

// TestRetentionCrashes: after a crash at any commit, durable or not, no row is lost and no
// entry is counted twice.
func TestRetentionCrashes(t *testing.T) {
	engines(t, func(t *testing.T, database string) {
		db := openFile(t, database, key)
		addAccount(t, db, "demo0001", 100)
		var before []verify.Verification
		for i := range 6 {
			before = append(before, finish(t, db, fmt.Sprint("44770090000", i), at(float64(i))))
			for range 3 {
				must(t, db.Credit(t.Context(), "demo0001", verify.Money(i), at(float64(i))))
			}
		}
		const crashes = 6 // at the first, second or third commit, durable or not
		for crash := 0; ; crash++ {
			commits := 0
			node, err := store.Open(t.Context(), store.Config{
				Database: database, Key: key, Log: slog.New(slog.DiscardHandler),
				Around: func(commit func()) error {
					if commits++; commits == 1+crash%3 && crash < crashes {
						if crash < crashes/2 {
							commit() // durable, with an unknown outcome
						}
						return errCrash
					}
					commit()
					return nil
				},
			})
			must(t, err)
			_, archiveErr := node.Archive(t.Context(), store.Cutoffs{Codes: at(100)}, 1)
			_, settleErr := node.SettleLedger(t.Context(), at(100), 2)
			_, carryErr := node.CarryLedger(t.Context(), at(100), 1)
			must(t, node.Close())
			if err := errors.Join(archiveErr, settleErr, carryErr); (crash < crashes) != errors.Is(err, errCrash) {
				t.Errorf("crash %d: %v", crash, err)
			}
			wantBalance(t, db, "demo0001", 100+3*15, 0)
			moved := 0
			for _, v := range before {
				if find(t, db, v.ID).Checks[0].Code.IsZero() {
					moved++
					v = withoutCodes(v)
				}
				wantFound(t, db, v)
			}
			if moved == len(before) {
				break
			}
			if crash > 20 {
				t.Fatalf("%d of %d are archived", moved, len(before))
			}
		}
	})
}

// TestNodesRetention: of several nodes that archive at the same time, exactly one moves
// each row.
func TestNodesRetention(t *testing.T) {
	t.Parallel()
	nodes := twoNodes(t)
	addAccount(t, nodes[0], "demo0001", 100)
	var before []verify.Verification
	for i := range 60 {
		before = append(before, finish(t, nodes[0], fmt.Sprintf("4477009000%02d", i), at(float64(i)).AddDate(0, i%3, 0)))
		must(t, nodes[0].Credit(t.Context(), "demo0001", verify.Money(i), at(float64(i))))
	}
	var archived, redacted, settled, carried atomic.Int64
	turn := func(db *store.DB, limit int) {
		for _, step := range []struct {
			done *atomic.Int64
			do   func() (int, error)
		}{
			{&archived, func() (int, error) { return db.Archive(t.Context(), store.Cutoffs{Codes: at(1e9)}, limit) }},
			{&redacted, func() (int, error) { return db.Redact(t.Context(), at(1e9), limit) }},
			{&settled, func() (int, error) { return db.SettleLedger(t.Context(), at(1e9), limit) }},
			{&carried, func() (int, error) { return db.CarryLedger(t.Context(), at(1e9), limit) }},
		} {
			n, err := step.do()
			if err != nil {
				t.Error(err)
			}
			step.done.Add(int64(n))
		}
	}
	each(nodes, 30, func(db *store.DB, _ int) { turn(db, 3) })
	turn(nodes[0], 100) // rows that were locked during the first search
	if archived.Load() != 60 || redacted.Load() != 60 || settled.Load() != 121 || carried.Load() != 121 {
		t.Errorf("%d were archived, %d redacted; %d entries were settled, %d carried over; want 60 and 121",
			archived.Load(), redacted.Load(), settled.Load(), carried.Load())
	}
	for _, v := range before {
		wantFound(t, nodes[1], anonymous(v))
	}
	wantBalance(t, nodes[0], "demo0001", 100+59*60/2, 0)
}
