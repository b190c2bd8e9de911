package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// testVerifications: every field comes back as it was written, from Insert as
// well as from Save.
func testVerifications(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	chosen, _ := verify.ParsePIN("Ab12345")
	full := verify.Request{
		Account: "demo0001", Number: "447700900002", Country: "GB", Brand: "<브랜드> & 'Co'", Sender: "Acme",
		Locale: "ko-kr", CodeLength: 6, ChosenPIN: chosen,
		Workflow: verify.Workflow{
			Steps:   []verify.Step{{Channel: verify.TTS, Wait: 1500 * time.Millisecond}, {Channel: verify.SMS}, {Channel: "whatsapp", Wait: time.Hour}},
			PINLife: 61500 * time.Millisecond, PINPolicy: verify.RenewPIN, CancelAfter: 30 * time.Second, Speed: 10,
		},
	}
	payment := request("demo0001", "447700900003")
	payment.Brand, payment.Payment = "", &verify.Payment{Payee: "Ünï & <Co>", Amount: "12.50"}
	emptyPayment := request("demo0001", "447700900004")
	emptyPayment.Payment = &verify.Payment{}
	bare := verify.Request{Account: "demo0001", Number: "447700900005", CodeLength: 4, Workflow: verify.Workflow{
		Steps: []verify.Step{{Channel: verify.SMS}}, PINLife: time.Minute, PINPolicy: verify.ReusePIN,
	}}

	for _, req := range []verify.Request{request("demo0001", "447700900001"), full, payment, emptyPayment, bare} {
		t.Run(req.Number, func(t *testing.T) {
			v, e := verify.Start(req, 12_050_000, t0, rand.Reader)
			row := &store.Row{Verification: v}
			row.Take("node-1", at(15))
			write(t, db, func(tx *store.Tx) error { return tx.Insert(row, e) })
			same(t, db, row)

			// Everything that may change, changes.
			if next, _, err := row.Trigger(at(20), rand.Reader); err == nil {
				row.Verification = next
			}
			row.Tries, row.Generation, row.PINExpiresAt = 2, 3, at(77)
			row.Drop()
			write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
			same(t, db, row)

			done, _, err := row.Check(row.PIN, "", at(21))
			must(t, err)
			row.Verification = done
			write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
			same(t, db, row)
			if got := get(t, db, "demo0001", row.ID); !got.PIN.IsZero() || !got.ChosenPIN.IsZero() {
				t.Error("the PIN outlived the verification")
			}
		})
	}
}

// same holds a row against all the ways to load it.
func same(t *testing.T, db *store.DB, want *store.Row) {
	t.Helper()
	if got := get(t, db, want.Account, want.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("Get:\n got %+v\nwant %+v", got, want)
	}
	if got := record(t, db, want.Account, want.ID); !reflect.DeepEqual(got.Verification, want.Verification) {
		t.Errorf("Record:\n got %+v\nwant %+v", got.Verification, want.Verification)
	}
	runs := want.Status == verify.InProgress
	write(t, db, func(tx *store.Tx) error {
		got, ok, err := tx.Running(want.Account, want.Number)
		if ok != runs || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("Running: %v\n got %+v\nwant %+v", ok, got, want)
		}
		rows, _, dueErr := tx.Due(at(1e6), 1000)
		i := slices.IndexFunc(rows, func(r *store.Row) bool { return r.ID == want.ID })
		if i >= 0 != runs || i >= 0 && !reflect.DeepEqual(rows[i], want) {
			t.Errorf("Due does not list it as it is: %+v", rows)
		}
		if err == nil {
			err = dueErr
		}
		return err
	})
}

func testOneRunning(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	add := func(account, number string) error {
		v, e := verify.Start(request(account, number), 0, t0, rand.Reader)
		return db.Write(t.Context(), func(tx *store.Tx) error { return tx.Insert(&store.Row{Verification: v}, e) })
	}
	if err := add("demo0001", "447700900000"); err == nil {
		t.Error("a second verification runs for the same account and number")
	}
	if err := add("demo0001", "447700900001"); err != nil {
		t.Errorf("another number: %v", err)
	}
	if err := add("other001", "447700900000"); err != nil {
		t.Errorf("another account: %v", err)
	}
	if err := add("nobody00", "447700900000"); err == nil {
		t.Error("a verification without an account was accepted")
	}
	done, err := row.Cancel(at(31))
	must(t, err)
	row.Verification = done
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	for i, want := range []bool{true, false} {
		if err := add("demo0001", "447700900000"); (err == nil) != want {
			t.Errorf("start %d after the end: %v", i+1, err)
		}
	}
}

// testIsolation: an account does not see what belongs to another.
func testIsolation(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	row, _ := insert(t, db, request("demo0001", "447700900000"), t0)
	for _, tt := range []struct {
		account string
		id      verify.ID
		want    bool
	}{
		{"demo0001", row.ID, true},
		{"other001", row.ID, false},
		{"", row.ID, false},
		{"demo0001", verify.NewID(rand.Reader), false},
		{"demo0001", verify.ID{}, false},
	} {
		if _, ok, err := db.Record(t.Context(), tt.account, tt.id); ok != tt.want || err != nil {
			t.Errorf("Record(%q, %s): %v, %v; want %v", tt.account, tt.id, ok, err, tt.want)
		}
		write(t, db, func(tx *store.Tx) error {
			_, ok, err := tx.Get(tt.account, tt.id)
			if ok != tt.want {
				t.Errorf("Get(%q, %s): %v, want %v", tt.account, tt.id, ok, tt.want)
			}
			return err
		})
	}
	write(t, db, func(tx *store.Tx) error {
		_, ok, err := tx.Running("other001", "447700900000")
		if ok {
			t.Error("another account's verification runs for this one")
		}
		return err
	})
}

// plan makes rows whose next steps fall due seconds after the start.
func plan(t *testing.T, db *store.DB, seconds ...float64) []*store.Row {
	t.Helper()
	addAccount(t, db, "demo0001", 0)
	var rows []*store.Row
	for i, s := range seconds {
		v, e := verify.Start(request("demo0001", fmt.Sprintf("4477009%05d", i)), 0, t0, rand.Reader)
		v.DueAt, e.State = at(s), verify.EventAccepted
		row := &store.Row{Verification: v}
		write(t, db, func(tx *store.Tx) error { return tx.Insert(row, e) })
		rows = append(rows, row)
	}
	return rows
}

func ids(rows []*store.Row, which ...int) []verify.ID {
	var list []verify.ID
	for _, i := range which {
		list = append(list, rows[i].ID)
	}
	return list
}

func testDue(t *testing.T, db *store.DB) {
	rows := plan(t, db, 30, 10, 20, 40)
	tests := []struct {
		now   float64
		limit int
		want  []verify.ID
	}{
		{9.999, 10, nil},
		{10, 10, ids(rows, 1)},
		{30, 10, ids(rows, 1, 2, 0)},
		{100, 10, ids(rows, 1, 2, 0, 3)},
		{100, 2, ids(rows, 1, 2)},
		{100, 0, nil},
	}
	for _, tt := range tests {
		if got := due(t, db, at(tt.now), tt.limit); !slices.Equal(got, tt.want) {
			t.Errorf("due after %v s, at most %d: %v, want %v", tt.now, tt.limit, got, tt.want)
		}
	}
}

// wantDue holds what is due, and when the next falls due, against one row.
func wantDue(t *testing.T, db *store.DB, row *store.Row, when time.Time) {
	t.Helper()
	next, ok, err := db.NextDue(t.Context())
	if !ok || err != nil || !next.Equal(when) {
		t.Errorf("the next falls due at %v (%v, %v), want %v", next, ok, err, when)
	}
	if got := due(t, db, when.Add(-time.Millisecond), 10); len(got) != 0 {
		t.Errorf("%v is due before %v", got, when)
	}
	if got := due(t, db, when, 10); !slices.Equal(got, []verify.ID{row.ID}) {
		t.Errorf("%v is due at %v, want %v", got, when, row.ID)
	}
}

// testTakeRelease: a row that is held falls due when its lease ends; given back,
// when its next step does.
func testTakeRelease(t *testing.T, db *store.DB) {
	row := plan(t, db, 125)[0]
	wantDue(t, db, row, at(125))
	for _, until := range []float64{15, 200} {
		row.Take("node-1", at(until))
		write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
		wantDue(t, db, row, at(until))
		if got := get(t, db, row.Account, row.ID); got.Node != "node-1" || !got.Until.Equal(at(until)) || !got.DueAt.Equal(at(125)) {
			t.Errorf("the claim is %+v, the next step at %v", got.Claim, got.DueAt)
		}
		write(t, db, func(tx *store.Tx) error { return tx.Release(row.ID, row.Fence) })
		wantDue(t, db, row, at(125))
		if got := get(t, db, row.Account, row.ID); got.Node != "" || !got.Until.IsZero() || got.Fence != row.Fence {
			t.Errorf("after the release the claim is %+v", got.Claim)
		}
	}
}

// testReleaseOpen: while the outcome of an event is open, of whichever, a row that is
// given back falls due when the lease ends, even if it is over.
func testReleaseOpen(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v, first := verify.Start(request("demo0001", "447700900001"), 0, t0, rand.Reader)
	row := &store.Row{Verification: v}
	row.Take("node-1", at(15))
	write(t, db, func(tx *store.Tx) error { return tx.Insert(row, first) })
	release := func(tx *store.Tx) error { return tx.Release(row.ID, row.Fence) }
	write(t, db, release)
	wantDue(t, db, row, at(15))
	done, err := row.Cancel(at(30))
	must(t, err)
	row.Verification = done
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	wantDue(t, db, row, at(15))
	first.State = verify.EventUnknown
	write(t, db, func(tx *store.Tx) error { return errors.Join(tx.SaveEvent(first), release(tx)) })
	if at, ok, err := db.NextDue(t.Context()); ok || err != nil {
		t.Errorf("due at %v (%v), though all is told", at, err)
	}
}

// testReleaseRefund: one that is over, and may have to be given its price back, is to be
// looked at, though it was given back after it ended.
func testReleaseRefund(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100)
	v, first := verify.Start(request("demo0001", "447700900001"), 30, t0, rand.Reader)
	v.Paid, v.Unsent = true, true
	row := &store.Row{Verification: v}
	row.Take("node-1", at(15))
	write(t, db, func(tx *store.Tx) error { return tx.Insert(row, first) })
	done, err := row.Cancel(at(30))
	must(t, err)
	row.Verification = done
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	first.State = verify.EventRefused
	write(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.SaveEvent(first), tx.Release(row.ID, row.Fence))
	})
	wantDue(t, db, row, at(30))
}

// testFence: whoever lost his claim releases nothing.
func testFence(t *testing.T, db *store.DB) {
	row := plan(t, db, 125)[0]
	row.Take("node-1", at(15))
	stale := row.Fence
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	row.Take("node-2", at(30))
	if row.Fence <= stale {
		t.Fatalf("the fence went from %d to %d", stale, row.Fence)
	}
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	for _, fence := range []int64{stale, 0, row.Fence + 1} {
		write(t, db, func(tx *store.Tx) error { return tx.Release(row.ID, fence) })
		if got := get(t, db, row.Account, row.ID); !reflect.DeepEqual(got, row) {
			t.Errorf("released with fence %d, the row is %+v, want %+v", fence, got, row)
		}
	}
	wantDue(t, db, row, at(30))

	held := row.Fence
	row.Drop()
	if row.Fence <= held || row.Node != "" || !row.Until.IsZero() {
		t.Errorf("dropped, the claim is %+v after fence %d", row.Claim, held)
	}
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	row.Take("node-3", at(45))
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	write(t, db, func(tx *store.Tx) error { return tx.Release(row.ID, held) })
	wantDue(t, db, row, at(45))
}

// testRenew: a lease is only made longer, by who holds it, and not past the next step.
func testRenew(t *testing.T, db *store.DB) {
	row := plan(t, db, 125)[0]
	renew := func(fence int64, until float64, want float64) {
		t.Helper()
		write(t, db, func(tx *store.Tx) error { return tx.Renew(row.ID, fence, at(until)) })
		wantDue(t, db, row, at(want))
	}
	renew(row.Fence, 200, 125) // nobody's
	row.Take("node-1", at(15))
	write(t, db, func(tx *store.Tx) error { return tx.Save(row) })
	renew(row.Fence-1, 30, 15)
	renew(row.Fence, 30, 30)
	renew(row.Fence, 20, 30)
	renew(row.Fence, 200, 125)
	write(t, db, func(tx *store.Tx) error { return tx.Release(row.ID, row.Fence) })
	renew(row.Fence, 200, 125)
}

func testPostpone(t *testing.T, db *store.DB) {
	row := plan(t, db, 10)[0]
	write(t, db, func(tx *store.Tx) error { return tx.Postpone(row.ID, at(70)) })
	wantDue(t, db, row, at(70))
	if got := get(t, db, row.Account, row.ID); !got.DueAt.Equal(at(10)) {
		t.Errorf("the next step moved to %v, want only the look at it to move", got.DueAt)
	}
}

// testClaimOnce: of many who take what is due at once, each row has one taker.
func testClaimOnce(t *testing.T, db *store.DB) {
	rows := plan(t, db, make([]float64, 20)...)
	var mu sync.Mutex
	taken := map[verify.ID][]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			node := fmt.Sprint("node-", i)
			var mine []verify.ID
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				mine = nil
				list, _, err := tx.Due(at(1), 1)
				for _, r := range list {
					r.Take(node, at(15))
					mine = append(mine, r.ID)
					if err := tx.Save(r); err != nil {
						return err
					}
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range mine {
				taken[id] = append(taken[id], node)
			}
		})
	}
	wg.Wait()
	if len(taken) != len(rows) {
		t.Errorf("%d of %d rows were taken", len(taken), len(rows))
	}
	for id, nodes := range taken {
		if len(nodes) != 1 || get(t, db, "demo0001", id).Node != nodes[0] {
			t.Errorf("%s was taken by %v", id, nodes)
		}
	}
}

func testNextDue(t *testing.T, db *store.DB) {
	if at, ok, err := db.NextDue(t.Context()); ok || err != nil || !at.IsZero() {
		t.Errorf("in an empty database the next falls due at %v (%v, %v)", at, ok, err)
	}
	rows := plan(t, db, 125, 60)
	for _, want := range []struct {
		row *store.Row
		at  time.Time
	}{{rows[1], at(60)}, {rows[0], at(125)}, {nil, time.Time{}}} {
		got, ok, err := db.NextDue(t.Context())
		if ok != (want.row != nil) || err != nil || !got.Equal(want.at) {
			t.Errorf("the next falls due at %v (%v, %v), want %v", got, ok, err, want.at)
		}
		if want.row == nil {
			break
		}
		// What is over is not due again when the node that held it gives it back.
		done, err := want.row.Cancel(at(30))
		must(t, err)
		want.row.Verification = done
		want.row.Take("node-1", at(15))
		write(t, db, func(tx *store.Tx) error { return tx.Save(want.row) })
		write(t, db, func(tx *store.Tx) error { return tx.Release(want.row.ID, want.row.Fence) })
	}
}
