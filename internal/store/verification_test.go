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

// testVerifications: the value that a rule returned equals the value that is read back, by
// every way to read it.
func testVerifications(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", verify.Unit)
	chosen, _ := verify.ParsePIN("Ab12345")
	full := verify.Request{
		Account: "demo0001", To: verify.PhoneAddress("447700900002", "GB"), Brand: "<브랜드> & 'Co'", Sender: "Acme",
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
	bare := verify.Request{Account: "demo0001", To: verify.PhoneAddress("447700900005", ""), CodeLength: 4, Workflow: verify.Workflow{
		Steps: []verify.Step{{Channel: verify.SMS}}, PINLife: time.Minute, PINPolicy: verify.ReusePIN,
	}}
	for _, req := range []verify.Request{request("demo0001", "447700900001"), full, payment, emptyPayment, bare} {
		t.Run(req.To.Given, func(t *testing.T) {
			v, err := start(t.Context(), db, verify.Beginning{Request: req, Price: 5}, false, t0)
			must(t, err)
			same(t, db, v)
			o := accepted(v, "1/"+req.To.Given, "2/"+req.To.Given)
			o.Failures, o.Cost = o.Failures.Add(verify.Failure{Carrier: "b", Error: `503 "Service" <Unavailable>`}), 12
			v = save(t, db, v.Outcome(o, onFailure(), at(1)))
			same(t, db, v)
			c, _, ok := v.Receipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "2/" + req.To.Given}, State: verify.EventUndeliverable, Error: "err 12"}, onFailure(), at(2))
			if !ok {
				t.Fatal("the receipt makes no change")
			}
			v = save(t, db, c)
			same(t, db, v)
			v = checked(t, db, v, pin(t, "0000000"), "2001:db8::1", at(3))
			same(t, db, v)
			if c, err := v.Trigger("node-2", verify.Uncapped{}, at(4), rand.Reader); err == nil {
				v = save(t, db, c)
				same(t, db, v)
			}
			v = checked(t, db, v, v.PIN, "", at(5))
			if v.Status != verify.Success {
				t.Fatalf("the right code leads to %s", v.Status)
			}
			same(t, db, v)
			if got := get(t, db, v.ID); !got.PIN.IsZero() || !got.ChosenPIN.IsZero() {
				t.Error("the PIN outlived the verification")
			}
		})
	}
}

// same compares a verification with the result of every way to load it.
func same(t *testing.T, db *store.DB, want verify.Verification) {
	t.Helper()
	if got := find(t, db, want.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("db.Verification:\n got %+v\nwant %+v", got, want)
	}
	runs := want.Status == verify.InProgress
	write(t, db, func(tx *store.Tx) error {
		var errs []error
		check := func(how string, wantOK bool) func(got verify.Verification, ok bool, err error) {
			return func(got verify.Verification, ok bool, err error) {
				errs = append(errs, err)
				if ok != wantOK || ok && !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v\n got %+v\nwant %+v", how, ok, got, want)
				}
			}
		}
		check("tx.Verification", true)(tx.Verification(want.ID))
		check("tx.FreeVerification", true)(tx.FreeVerification(want.ID))
		check("tx.Running", runs)(tx.Running(want.Account, want.To))
		all, err := tx.RunningOf(want.To.Given)
		i := slices.IndexFunc(all, func(v verify.Verification) bool { return v.ID == want.ID })
		check("tx.RunningOf", runs)(append(all, verify.Verification{})[max(i, 0)], i >= 0, err)
		rows, _, err := tx.Due(at(1e6), 1000)
		i = slices.IndexFunc(rows, func(r store.DueRow) bool { return r.ID == want.ID })
		_, why := want.Due()
		r := append(rows, store.DueRow{})[max(i, 0)]
		check("tx.Due", why != verify.NotDue)(r.Verification, i >= 0, err)
		if i >= 0 && r.Reason != why {
			t.Errorf("tx.Due: it is due for %q, want %q", r.Reason, why)
		}
		return errors.Join(errs...)
	})
}

// filler sets a value, and all its parts, to distinct non-zero values.
type filler struct{ n int }

func (f *filler) set(t *testing.T, v reflect.Value) {
	t.Helper()
	f.n++
	switch to := v.Addr().Interface().(type) {
	case *time.Time:
		*to = t0.Add(time.Duration(f.n) * time.Millisecond)
		return
	case *time.Duration:
		*to = time.Duration(f.n) * time.Millisecond
		return
	case *verify.PIN:
		*to = pin(t, fmt.Sprint(100_000+f.n))
		return
	case *verify.ID:
		*to = verify.NewID(rand.Reader)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.set(t, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.set(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.set(t, v.Index(0))
		f.set(t, v.Index(1))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", f.n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("let filler set a %s", v.Type())
	}
}

// filled returns a verification of demo0001 in which every stored field has a value.
func filled(t *testing.T, number string) verify.Verification {
	t.Helper()
	var v verify.Verification
	(&filler{}).set(t, reflect.ValueOf(&v).Elem())
	v.Account, v.To, v.Status = "demo0001", verify.PhoneAddress(number, ""), verify.InProgress
	v.Source, v.Premium = "", false // only input of the velocity rules
	v.ChosenPIN = v.PIN             // the same while there is one
	for seq := range v.Events {
		v.Events[seq].Seq = seq
	}
	return v
}

// testEveryField: every field of a verification is stored, also fields that are added
// later.
func testEveryField(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v := filled(t, "447700900000")
	same(t, db, save(t, db, verify.Change{Verification: v, New: true}))

	ended := filled(t, "447700900001")
	ended.Status = verify.Success
	same(t, db, save(t, db, verify.Change{Verification: ended, New: true}))

	changed := filled(t, "447700900000")
	changed.ID, changed.SubmittedAt = v.ID, v.SubmittedAt // immutable
	same(t, db, put(t, db, changed))
}

// testOneRunning: one verification is in progress for an account and number.
func testOneRunning(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	addAccount(t, db, "other001", 0)
	v := begin(t, db, request("demo0001", "447700900000"), t0)
	add := func(account, number string) error {
		b := verify.Beginning{Request: request(account, number), History: verify.Uncapped{}, Node: "node-1"}
		c, _, err := verify.Begin(b, t0, rand.Reader)
		must(t, err)
		return db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error { return tx.Save(c) })
	}
	if err := add("demo0001", "447700900000"); err == nil || db.Shared() && !errors.Is(err, store.ErrRunning) {
		t.Errorf("a second verification for the same account and number: %v", err)
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
	cancelled(t, db, v, at(31))
	for i, want := range []bool{true, false} {
		if err := add("demo0001", "447700900000"); (err == nil) != want {
			t.Errorf("start %d after the end: %v", i+1, err)
		}
	}
}

// plan makes verifications without a lease. Their next steps are due seconds after the start.
func plan(t *testing.T, db *store.DB, seconds ...float64) (list []verify.Verification) {
	t.Helper()
	addAccount(t, db, "demo0001", 0)
	for i, s := range seconds {
		v := sent(t, db, request("demo0001", fmt.Sprintf("4477009%05d", i)), t0)
		v.NextAt = at(s)
		list = append(list, put(t, db, v))
	}
	return list
}

func ids(list []verify.Verification, which ...int) (ids []verify.ID) {
	for _, i := range which {
		ids = append(ids, list[i].ID)
	}
	return ids
}

func testDue(t *testing.T, db *store.DB) {
	list := plan(t, db, 30, 10, 20, 40)
	tests := []struct {
		now   float64
		limit int
		want  []verify.ID
	}{
		{9.999, 10, nil},
		{10, 10, ids(list, 1)},
		{30, 10, ids(list, 1, 2, 0)},
		{100, 10, ids(list, 1, 2, 0, 3)},
		{100, 2, ids(list, 1, 2)},
		{100, 0, nil},
	}
	for _, tt := range tests {
		if got := due(t, db, at(tt.now), tt.limit); !slices.Equal(got, tt.want) {
			t.Errorf("due after %v s, at most %d: %v, want %v", tt.now, tt.limit, got, tt.want)
		}
	}
}

// wantDue checks the due time and reason of the only verification in a database.
func wantDue(t *testing.T, db *store.DB, id verify.ID, when time.Time, why verify.Reason) {
	t.Helper()
	next, ok, err := db.NextDue(t.Context())
	if !ok || err != nil || !next.Equal(when) {
		t.Errorf("the next is due at %v (%v, %v), want %v", next, ok, err, when)
	}
	if got := due(t, db, when.Add(-time.Millisecond), 10); len(got) != 0 {
		t.Errorf("%v is due before %v", got, when)
	}
	write(t, db, func(tx *store.Tx) error {
		rows, _, err := tx.Due(when, 10)
		if len(rows) != 1 || rows[0].ID != id || rows[0].Reason != why {
			t.Errorf("at %v %+v is due, want %s for %q", when, rows, id, why)
		}
		return err
	})
}

func wantNotDue(t *testing.T, db *store.DB) {
	t.Helper()
	if at, ok, err := db.NextDue(t.Context()); ok || err != nil {
		t.Errorf("due at %v (%v)", at, err)
	}
}

// testDueReasons: a row stores why it is due, in each state of a life that ends with a
// refund.
func testDueReasons(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 100)
	v, err := start(t.Context(), db, verify.Beginning{Request: request("demo0001", "447700900000"), Price: 30}, false, t0)
	must(t, err)
	wantDue(t, db, v.ID, at(10), verify.LeaseEnded)
	v = save(t, db, v.Outcome(outcome(v, verify.EventRefused), onFailure(), at(1)))
	wantDue(t, db, v.ID, at(125), verify.StepDue)
	runner := verify.Runner{Node: "node-2", InFlight: func(verify.ID) bool { return false }, OnFailure: onFailure()}
	v = save(t, db, v.Step(runner, verify.Uncapped{}, at(125), rand.Reader))
	wantDue(t, db, v.ID, at(135), verify.LeaseEnded)
	v = save(t, db, v.Outcome(outcome(v, verify.EventRefused), onFailure(), at(126)))
	end := v.NextAt
	wantDue(t, db, v.ID, end, verify.ExpiryDue)
	v = save(t, db, v.Step(runner, verify.Uncapped{}, end, rand.Reader))
	wantDue(t, db, v.ID, end, verify.RefundCheck)
	v = save(t, db, v.LeaseForRefund("node-3", end))
	wantDue(t, db, v.ID, end.Add(verify.LeaseTime), verify.LeaseEnded)
	save(t, db, v.Refund(end))
	wantNotDue(t, db)
	wantBalance(t, db, "demo0001", 100, 1)
}

// testAcquireRelease: a row with a lease is due when the lease ends; a row without one, when
// its next step is.
func testAcquireRelease(t *testing.T, db *store.DB) {
	v := plan(t, db, 125)[0]
	wantDue(t, db, v.ID, at(125), verify.StepDue)
	for _, until := range []float64{15, 200} {
		v = put(t, db, lease(v, "node-1", at(until)))
		wantDue(t, db, v.ID, at(until), verify.LeaseEnded)
		if got := get(t, db, v.ID); got.Lease != v.Lease || !got.NextAt.Equal(at(125)) {
			t.Errorf("the lease is %+v, the next step at %v", got.Lease, got.NextAt)
		}
		v = put(t, db, released(v))
		wantDue(t, db, v.ID, at(125), verify.StepDue)
		if got := get(t, db, v.ID); got.Lease != v.Lease {
			t.Errorf("after the release the lease is %+v", got.Lease)
		}
	}
}

// testLeaseOpenEvent: while the outcome of an event is open, a row is due when the lease
// ends, even if the verification has ended.
func testLeaseOpenEvent(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v := begin(t, db, request("demo0001", "447700900001"), t0)
	wantDue(t, db, v.ID, at(10), verify.LeaseEnded)
	v = put(t, db, lease(v, "node-1", at(45))) // renewed
	v = cancelled(t, db, v, at(30))
	wantDue(t, db, v.ID, at(45), verify.LeaseEnded)
	save(t, db, v.Outcome(outcome(v, verify.EventUnknown), onFailure(), at(31)))
	wantNotDue(t, db)
}

// testFence: every write keeps the fencing token. A stale token cannot renew or release the
// lease.
func testFence(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	v := begin(t, db, request("demo0001", "447700900001"), t0)
	late := accepted(v)
	v = put(t, db, lease(v, "node-2", at(30)))
	for _, token := range []int64{late.Token, 0, v.Lease.Token + 1} {
		late.Token = token
		write(t, db, func(tx *store.Tx) error { return tx.Renew(v.ID, token, at(99)) })
		c := get(t, db, v.ID).Outcome(late, onFailure(), at(20))
		if got := save(t, db, c); got.Lease != v.Lease {
			t.Errorf("with token %d the lease is %+v, want %+v", token, got.Lease, v.Lease)
		}
		wantDue(t, db, v.ID, at(30), verify.LeaseEnded)
	}
	held := v.Lease.Token
	v = put(t, db, released(get(t, db, v.ID)))
	if got := get(t, db, v.ID).Lease; got.Token <= held || got.Node != "" || !got.Until.IsZero() {
		t.Errorf("released, the lease is %+v after token %d", got, held)
	}
	v = put(t, db, lease(v, "node-3", at(45)))
	write(t, db, func(tx *store.Tx) error { return tx.Renew(v.ID, held, at(99)) })
	wantDue(t, db, v.ID, at(45), verify.LeaseEnded)
}

// testRenew: a renewal extends a lease, but not past the next step, and only with its
// token.
func testRenew(t *testing.T, db *store.DB) {
	v := plan(t, db, 125)[0]
	renew := func(token int64, until, want float64, why verify.Reason) {
		t.Helper()
		write(t, db, func(tx *store.Tx) error { return tx.Renew(v.ID, token, at(until)) })
		wantDue(t, db, v.ID, at(want), why)
	}
	renew(v.Lease.Token, 200, 125, verify.StepDue) // the row has no lease
	v = put(t, db, lease(v, "node-1", at(15)))
	renew(v.Lease.Token-1, 30, 15, verify.LeaseEnded)
	renew(v.Lease.Token, 30, 30, verify.LeaseEnded)
	renew(v.Lease.Token, 20, 30, verify.LeaseEnded)
	renew(v.Lease.Token, 200, 125, verify.LeaseEnded)
	if got := get(t, db, v.ID).Lease; got.Node != "node-1" || got.Token != v.Lease.Token || !got.Until.Equal(at(125)) {
		t.Errorf("renewed, the lease is %+v", got)
	}
	v = put(t, db, released(v))
	renew(v.Lease.Token, 200, 125, verify.StepDue)
}

// testFree: reads in a transaction return its renewals.
func testFree(t *testing.T, db *store.DB) {
	v := plan(t, db, 125)[0]
	v = put(t, db, lease(v, "node-1", at(15)))
	must(t, db.Write(t.Context(), store.Scope{Verification: v.ID}, func(tx *store.Tx) error {
		if err := tx.Renew(v.ID, v.Lease.Token, at(30)); err != nil {
			return err
		}
		got, ok, err := tx.FreeVerification(v.ID)
		if !ok || !got.Lease.Until.Equal(at(30)) {
			t.Errorf("FreeVerification: %v, the lease is %+v", ok, got.Lease)
		}
		loaded, ok, verr := tx.Verification(v.ID)
		if !ok || !loaded.Lease.Until.Equal(at(30)) {
			t.Errorf("Verification: %v, the lease is %+v", ok, loaded.Lease)
		}
		return errors.Join(err, verr)
	}))
}

func testPostpone(t *testing.T, db *store.DB) {
	v := plan(t, db, 10)[0]
	write(t, db, func(tx *store.Tx) error { return tx.Postpone(v.ID, at(70)) })
	wantDue(t, db, v.ID, at(70), verify.StepDue)
	if got := get(t, db, v.ID); !got.NextAt.Equal(at(10)) {
		t.Errorf("the next step moved to %v, want only the due time to move", got.NextAt)
	}
}

// testDueOnce: of concurrent transactions that lease due rows, exactly one leases each row.
func testDueOnce(t *testing.T, db *store.DB) {
	list := plan(t, db, make([]float64, 20)...)
	var mu sync.Mutex
	taken := map[verify.ID][]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			node := fmt.Sprint("node-", i)
			var mine []verify.ID
			err := db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) (err error) {
				mine, err = leaseDue(tx, node, 1)
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
	if len(taken) != len(list) {
		t.Errorf("%d of %d rows were leased", len(taken), len(list))
	}
	for id, nodes := range taken {
		if len(nodes) != 1 || get(t, db, id).Lease.Node != nodes[0] {
			t.Errorf("%s was leased by %v", id, nodes)
		}
	}
}

// leaseDue acquires the leases of due rows for a node.
func leaseDue(tx *store.Tx, node string, limit int) (mine []verify.ID, err error) {
	rows, _, err := tx.Due(at(1), limit)
	for _, r := range rows {
		mine = append(mine, r.ID)
		if err := tx.Save(verify.Change{Verification: lease(r.Verification, node, at(15))}); err != nil {
			return mine, err
		}
	}
	return mine, err
}

func testNextDue(t *testing.T, db *store.DB) {
	if at, ok, err := db.NextDue(t.Context()); ok || err != nil || !at.IsZero() {
		t.Errorf("in an empty database the next is due at %v (%v, %v)", at, ok, err)
	}
	list := plan(t, db, 125, 60)
	for _, want := range []struct {
		row int
		at  time.Time
	}{{1, at(60)}, {0, at(125)}} {
		if got, ok, err := db.NextDue(t.Context()); !ok || err != nil || !got.Equal(want.at) {
			t.Errorf("the next is due at %v (%v, %v), want %v", got, ok, err, want.at)
		}
		// A verification that has ended is not due after the release of its lease.
		v := put(t, db, lease(list[want.row], "node-1", at(40)))
		put(t, db, released(cancelled(t, db, v, at(30))))
	}
	wantNotDue(t, db)
}
