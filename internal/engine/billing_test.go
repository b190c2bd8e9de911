package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const listPrice verify.Money = 12_050_000

// wantBooks checks the price of a verification, the balance, and the sum of the ledger.
func (b *bench) wantBooks(id verify.ID, price, balance verify.Money) {
	b.t.Helper()
	if got := b.record(id).Charged(); got != price {
		b.t.Errorf("search shows a price of %s, want %s", got, price)
	}
	c, err := b.db.Credentials(b.t.Context(), b.account.Key)
	must(b.t, err)
	sum, _, err := b.db.LedgerSum(b.t.Context(), b.account.Key)
	must(b.t, err)
	if c.Balance != balance || sum != balance {
		b.t.Errorf("the balance is %s and the ledger sum %s, want %s", c.Balance, sum, balance)
	}
}

// wrongPIN differs in form from every generated PIN.
func wrongPIN() verify.PIN {
	pin, _ := verify.ParsePIN("0000x")
	return pin
}

func (d *desks) wrongCodes(v verify.Verification) {
	d.t.Helper()
	for range 3 {
		if _, err := d.Check(d.t.Context(), d.account, v.ID, wrongPIN(), ""); kind(err) != verify.KindWrongCode && kind(err) != verify.KindTooManyCodes {
			d.t.Fatal(err)
		}
	}
}

func (d *desks) cancel(v verify.Verification) {
	d.t.Helper()
	d.clock.Advance(31 * time.Second)
	must(d.t, d.Cancel(d.t.Context(), d.account, v.ID))
}

// expire refuses all remaining events and advances the clock past the end.
func (d *desks) expire(seq int) {
	d.t.Helper()
	for ; seq < 3; seq++ {
		d.clock.Advance(180 * time.Second)
		d.next(seq).fail(errRefused)
		d.quiet()
	}
	d.clock.Advance(600 * time.Second)
}

// TestRefund: a verification that never sent a message is refunded when it ends, once; any
// other is not.
func TestRefund(t *testing.T) {
	t.Parallel()
	refused := func(d *desks, h hand) { h.fail(errRefused); d.settled(h.RequestID, 0) }
	tests := map[string]struct {
		do     func(*desks, verify.Verification, hand)
		refund bool
	}{
		"Expired":            {func(d *desks, _ verify.Verification, h hand) { refused(d, h); d.expire(1) }, true},
		"Cancelled":          {func(d *desks, v verify.Verification, h hand) { refused(d, h); d.cancel(v) }, true},
		"Failed":             {func(d *desks, v verify.Verification, h hand) { refused(d, h); d.wrongCodes(v) }, true},
		"RefusedAfterTheEnd": {func(d *desks, v verify.Verification, h hand) { d.cancel(v); h.fail(errRefused) }, true},
		"NeverSent": {func(d *desks, v verify.Verification, h hand) {
			d.cancel(v)
			h.fail(errNotSent)
			await.Until(d.t, "pausing", func() bool {
				d.clock.Advance(time.Second)
				return d.record(v.ID).Events[0].State == verify.EventExpired
			})
		}, true},
		"RefusedLate": {func(d *desks, v verify.Verification, h hand) {
			d.cancel(v)
			h.fail(errLost)
			d.settled(v.ID, 0)
			must(d.t, d.Answer(d.t.Context(), deliver.Answer{
				Event: h.Event(), Part: verify.Part{Attempt: 1, Count: 1, Carrier: "a", State: verify.EventRefused},
			}))
		}, true},
		"Running":  {func(d *desks, _ verify.Verification, h hand) { refused(d, h) }, false},
		"Accepted": {func(d *desks, v verify.Verification, h hand) { h.accept("1"); d.settled(v.ID, 0); d.cancel(v) }, false},
		"RejectedByReceipt": {func(d *desks, v verify.Verification, h hand) {
			d.reported(h, rejected)
			d.cancel(v)
		}, false},
		"ExpiredByReceipt": {func(d *desks, v verify.Verification, h hand) {
			d.reported(h, expired)
			d.cancel(v)
		}, false},
		"SecondAccepted": {func(d *desks, _ verify.Verification, h hand) {
			refused(d, h)
			d.clock.Advance(125 * time.Second)
			d.next(1).accept("1")
			d.quiet()
			d.expire(2)
		}, false},
		"SecondAcceptedAfterTheEnd": {func(d *desks, v verify.Verification, h hand) {
			refused(d, h)
			d.clock.Advance(125 * time.Second)
			second := d.next(1)
			d.wrongCodes(v)
			second.accept("1")
		}, false},
		"Unknown": {func(d *desks, v verify.Verification, h hand) {
			h.fail(errLost)
			d.next(0).fail(errLost)
			d.settled(v.ID, 0)
			d.cancel(v)
		}, false},
		"SecondAttemptRefused": {func(d *desks, v verify.Verification, h hand) {
			h.fail(errLost)
			d.next(0).fail(errRefused)
			d.settled(v.ID, 0)
			d.cancel(v)
		}, false},
		"Succeeded": {func(d *desks, v verify.Verification, h hand) {
			refused(d, h)
			_, err := d.Check(d.t.Context(), d.account, v.ID, v.PIN, "")
			must(d.t, err)
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := setUpDesks(t, "a")
				d.resume()
				v, h := d.start()
				d.wantBooks(v.ID, listPrice, 100*verify.Unit-listPrice)
				tt.do(d, v, h)
				if tt.refund {
					await.Until(t, "refunded", func() bool { return d.record(v.ID).Charged() == 0 })
				}
				d.quiet()
				price, balance := listPrice, 100*verify.Unit-listPrice
				if tt.refund {
					price, balance = 0, 100*verify.Unit
					d.wantDue(v.ID, -1)
				}
				d.wantBooks(v.ID, price, balance)
				if got := d.count("countersign_verifications_refunded_total"); got != 1 && tt.refund || got != 0 && !tt.refund {
					t.Errorf("%v refunds are counted", got)
				}
			})
		})
	}
}

// TestRefundAtStart: a verification that a new start finds expired is refunded.
func TestRefundAtStart(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	v, h := d.start()
	h.fail(errRefused)
	d.settled(v.ID, 0)
	d.clock.Advance(time.Hour)
	next, h := d.start()
	h.accept("1")
	d.settled(next.ID, 0)
	d.resume()
	await.Until(t, "refunded", func() bool { return d.record(v.ID).Charged() == 0 })
	d.wantBooks(next.ID, listPrice, 100*verify.Unit-listPrice)
}

func onSuccess(_ *bench, cfg *engine.Config) { cfg.ChargeOnSuccess = true }

// TestChargeOnSuccess: the price is charged with the right code; a start without enough
// credit is refused.
func TestChargeOnSuccess(t *testing.T) {
	t.Parallel()
	b := setUp(t, onSuccess)
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.settled(v.ID, 0)
	b.wantBooks(v.ID, 0, 100*verify.Unit)
	if _, err := b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindConcurrent {
		t.Errorf("a second start: %v", err)
	}
	if _, err := b.Check(t.Context(), b.account, v.ID, wrongPIN(), ""); kind(err) != verify.KindWrongCode {
		t.Errorf("a wrong code: %v", err)
	}
	b.wantBooks(v.ID, 0, 100*verify.Unit)
	// The price is charged although the balance no longer covers it.
	must(t, b.db.Credit(t.Context(), b.account.Key, 1-100*verify.Unit, t0))
	done, err := b.Check(t.Context(), b.account, v.ID, v.PIN, "")
	if err != nil || done.Charged() != listPrice {
		t.Errorf("the right code: charged %s (%v)", done.Charged(), err)
	}
	b.wantBooks(v.ID, listPrice, 1-listPrice)
	if _, err := b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindNoCredit {
		t.Errorf("a start on an empty balance: %v", err)
	}
	must(t, b.db.Credit(t.Context(), b.account.Key, 2*listPrice-2, t0))
	if _, err := b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindNoCredit {
		t.Errorf("a start on a balance that lacks a unit: %v", err)
	}
	must(t, b.db.Credit(t.Context(), b.account.Key, 1, t0))
	v, err = b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.settled(v.ID, 0)
	b.clock.Advance(31 * time.Second)
	must(t, b.Cancel(t.Context(), b.account, v.ID))
	b.wantBooks(v.ID, 0, listPrice)
}

// TestDailyCap: a start counts toward the cap of its day, also with ChargeOnSuccess, so that
// messages without a success are bounded.
func TestDailyCap(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bench, *engine.Config){"sent": func(*bench, *engine.Config) {}, "success": onSuccess} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t, change)
			must(t, b.db.UpdateAccount(t.Context(), b.account.Key, func(a *verify.Account) error {
				a.DailyCap = 4*listPrice + 1
				return nil
			}))
			start := func(number string, want verify.Kind) verify.Verification {
				t.Helper()
				req := b.request()
				req.To = verify.PhoneAddress(number, req.To.Country)
				v, err := b.Start(t.Context(), b.account, req)
				if kind(err) != want {
					t.Errorf("%s: %v", number, err)
				}
				return v
			}
			spent := func(want verify.Money) {
				t.Helper()
				if got, err := b.db.Spent(t.Context(), b.account.Key, b.clock.Now()); err != nil || got != want {
					t.Errorf("spent today: %s (%v), want %s", got, err, want)
				}
			}
			v := start("447700900101", -1)
			start("447700900102", -1)
			start("447700900101", verify.KindConcurrent)
			spent(2 * listPrice)
			if _, err := b.Check(t.Context(), b.account, v.ID, v.PIN, ""); err != nil {
				t.Error(err)
			}
			spent(2 * listPrice)
			b.clock.Advance(time.Hour)
			start("447700900102", -1) // the previous verification has expired
			start("447700900103", -1)
			start("447700900104", verify.KindNoCredit)
			spent(4 * listPrice)
			b.clock.Advance(24 * time.Hour)
			spent(0)
			start("447700900104", -1)
			spent(listPrice)
		})
	}
}

// TestPayer: a sub-account's charges and refunds apply to its parent.
func TestPayer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bench, *engine.Config){"sent": func(*bench, *engine.Config) {}, "success": onSuccess} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t, change)
			child := verify.Account{Key: "child001", Parent: b.account.Key}
			must(t, b.db.CreateAccount(t.Context(), store.NewAccount{Account: child, Secret: "s"}, t0))
			req := b.request()
			req.Account = child.Key
			v, err := b.Start(t.Context(), child, req)
			must(t, err)
			b.Delivered(t.Context(), "")
			if _, err := b.Check(t.Context(), child, v.ID, v.PIN, ""); err != nil {
				t.Error(err)
			}
			sum, charges, err := b.db.LedgerSum(t.Context(), b.account.Key)
			if err != nil || charges != 1 || sum != 100*verify.Unit-listPrice {
				t.Errorf("the parent has %s after %d charges (%v)", sum, charges, err)
			}
			if sum, charges, err := b.db.LedgerSum(t.Context(), child.Key); err != nil || charges != 0 || sum != 0 {
				t.Errorf("the child has %s after %d charges (%v)", sum, charges, err)
			}
		})
	}
}

// TestCost: the carrier's cost is stored with each accepted event and shown with the
// verification; the balance does not change.
func TestCost(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	must(t, d.db.ReplacePrices(t.Context(), "a", []verify.Price{{Amount: 9}, {Prefix: "447700", Channel: verify.SMS, Amount: 5}}))
	d.resume()
	v, h := d.start()
	h.accept("1")
	d.settled(v.ID, 0)
	wantCost := func(costs ...verify.Money) {
		t.Helper()
		var sum verify.Money
		rec := d.record(v.ID)
		for i, want := range costs {
			sum += want
			if got := rec.Events[i].Cost(); got != want {
				t.Errorf("event %d costs %d, want %d", i, got, want)
			}
		}
		if rec.Cost() != sum {
			t.Errorf("the verification costs %d, want %d", rec.Cost(), sum)
		}
		d.wantBooks(v.ID, listPrice, 100*verify.Unit-listPrice)
	}
	wantCost(5)
	d.clock.Advance(125 * time.Second)
	second := d.next(1)
	second.fail(errRefused)
	d.settled(v.ID, 1)
	wantCost(5, 0)
	d.clock.Advance(180 * time.Second)
	third := d.next(2)
	third.fail(errLost)
	d.next(2).accept("3")
	d.settled(v.ID, 2)
	wantCost(5, 0, 9)
	for range 2 { // a repeated late response: the first attempt was also accepted
		must(t, d.Answer(t.Context(), deliver.Answer{
			Event: third.Event(), Part: verify.Part{Attempt: 1, Count: 1, Carrier: "a", Ref: "2", State: verify.EventAccepted},
		}))
	}
	wantCost(5, 0, 18)
}
