package engine_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/fraud"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// restart stops this node and starts another with its clock at now.
func (b *bench) restart(key vault.Key, now time.Time, caps fraud.Caps) *bench {
	b.t.Helper()
	must(b.t, b.Stop(b.t.Context()))
	must(b.t, b.db.Close())
	next := setUpNode(b.t, b.path, key, clockwork.NewFakeClockAt(now), capped(caps))
	next.Resume()
	return next
}

// TestFutureState: state from a time when the clock was wrong does not affect a node with
// the right time.
func TestFutureState(t *testing.T) {
	t.Parallel()
	engines := map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string {
			return pgtest.File(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
		},
		"postgres": func(t *testing.T) string { return pgtest.Prepared(t, "migrated", store.Migrate) },
	}
	for name, jump := range map[string]time.Duration{
		"400 days ahead": 400 * 24 * time.Hour, "an hour ahead": time.Hour, "400 days back": -400 * 24 * time.Hour,
	} {
		for engine, database := range engines {
			t.Run(name+" on "+engine, func(t *testing.T) {
				t.Parallel()
				testFutureState(t, database(t), jump)
			})
		}
	}
}

const (
	runningNumber, cappedNumber = "447700900010", "447700900011"
	lockedNumber, provenNumber  = "447700900012", "447700900013"
)

func testFutureState(t *testing.T, database string, jump time.Duration) {
	ctx := t.Context()
	caps := fraud.Caps{Sends: daily(1), Streak: 2, Lock: 24 * time.Hour}
	key := vault.NewKey()
	b := setUpNode(t, database, key, clockwork.NewFakeClockAt(t0), capped(caps))
	b.Resume()
	must(t, b.db.Vault().Refresh(ctx, t0))
	start := func(number string) (verify.Verification, error) {
		req := b.request()
		req.To = verify.PhoneAddress(number, req.To.Country)
		return b.Start(ctx, b.account, req)
	}

	// While the clock is wrong: one verification runs, one number is capped, one is locked.
	b = b.restart(key, t0.Add(jump), caps)
	must(t, b.db.Vault().Refresh(ctx, b.clock.Now()))
	old, err := start(runningNumber)
	must(t, err)
	locked, err := start(lockedNumber)
	must(t, err)
	for range 2 {
		if _, err := b.Check(ctx, b.account, locked.ID, wrongCode(locked), ""); kind(err) != verify.KindWrongCode && kind(err) != verify.KindTooManyCodes {
			t.Fatal(err)
		}
	}
	proven, err := start(provenNumber)
	must(t, err)
	_, err = b.Check(ctx, b.account, proven.ID, proven.PIN, "")
	must(t, err)
	_, err = start(cappedNumber)
	must(t, err)
	b.Delivered(ctx, "")

	// After the correction none of these has an effect.
	right := t0.Add(100 * time.Second)
	b = b.restart(key, right, caps)
	must(t, b.db.Vault().Refresh(ctx, right))
	keys, err := b.db.Vault().Status()
	must(t, err)
	for _, k := range keys.Data {
		if k.Current && k.Purpose == "pin" && (k.CreatedAt.After(right) || k.CreatedAt.Before(t0.Add(-time.Minute))) {
			t.Errorf("PINs are encrypted with the key of %v", k.CreatedAt)
		}
	}
	for _, number := range []string{runningNumber, cappedNumber, lockedNumber, provenNumber} {
		v, err := start(number)
		if err != nil {
			t.Errorf("a start for %s: %v", number, err)
			continue
		}
		if e := b.settled(v.ID, 0); e.State != verify.EventAccepted {
			t.Errorf("the message to %s is %s", number, e.State)
		}
		if _, err := b.Check(ctx, b.account, v.ID, v.PIN, ""); err != nil {
			t.Errorf("the right code for %s: %v", number, err)
		}
	}
	if _, err := start(runningNumber); kind(err) != verify.KindBlocked {
		t.Errorf("a cap filled after the correction does not apply: %v", err)
	}
	if got, err := b.Search(ctx, b.account, []verify.ID{old.ID}); err != nil || got[0].Status != verify.Expired {
		t.Errorf("the verification that ran: %v (%v)", got, err)
	}
	if _, err := b.Check(ctx, b.account, old.ID, old.PIN, ""); kind(err) != verify.KindNotFound {
		t.Errorf("its code: %v", err)
	}
	sum, charges, err := b.db.LedgerSum(ctx, b.account.Key)
	must(t, err)
	if want := 100*verify.Unit - 8*old.Price; sum != want || charges != 8 {
		t.Errorf("%d charges, the sum is %v; want 8 and %v", charges, sum, want)
	}
	must(t, b.Stop(ctx))
}

// TestFutureDue: verifications postponed by a clock that was ahead end when retention accepts
// the clock, both those that wait for a step and those leased by a dead node.
func TestFutureDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ahead = 400 * 24 * time.Hour
		key := vault.NewKey()
		database := pgtest.Chosen(t, filepath.Join(t.TempDir(), "countersign.db"), "migrated", store.Migrate)
		b := setUpNode(t, database, key, clockwork.NewFakeClockAt(t0.Add(ahead)))
		waits, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		b.settled(waits.ID, 0)
		req := b.request()
		req.To = verify.PhoneAddress("447700900099", req.To.Country)
		b.carrier.gate = make(chan struct{})
		held, err := b.Start(t.Context(), b.account, req)
		must(t, err)
		await.Until(t, "sent: the message", func() bool { return len(b.carrier.all()) == 2 })
		dead := b

		b = b.again(key, t0)
		b.resume()
		b.rest()
		n, err := b.db.HastenFuture(t.Context(), t0, 50)
		must(t, err)
		if want := 2; b.db.Shared() && n != want || n == 0 {
			t.Errorf("%d fall due, want %d", n, want)
		}
		b.Wake()
		for _, v := range []verify.Verification{waits, held} {
			await.Until(t, "expired", func() bool { return b.record(v.ID).Status == verify.Expired })
			if got := b.record(v.ID); got.FinalizedAt.After(b.clock.Now()) {
				t.Errorf("it ended %v", got.FinalizedAt)
			}
		}
		if n := len(b.carrier.all()); n != 0 {
			t.Errorf("%d messages were sent again", n)
		}
		close(dead.carrier.gate)
	})
}

// again starts another node on the database, while this node is idle.
func (b *bench) again(key vault.Key, now time.Time) *bench {
	b.t.Helper()
	if !b.db.Shared() {
		must(b.t, b.db.Close())
	}
	return setUpNode(b.t, b.path, key, clockwork.NewFakeClockAt(now))
}
