package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/engine"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// TestRefusedStartIsNone: a start that fails after it passed the velocity rules is counted
// by neither the metric nor the rules, and causes no charge and no message.
func TestRefusedStartIsNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		refuse func(*bench) (again func())
		kind   verify.Kind // -1 for a database error
	}{
		"overload": {func(b *bench) func() { return b.Occupy() }, verify.KindUnavailable},
		"database": {func(b *bench) func() { b.fail("INSERT"); return b.mend }, -1},
		"credit": {func(b *bench) func() {
			b.behind(`UPDATE accounts SET balance = 0`)
			return func() { b.behind(`UPDATE accounts SET balance = 100000000`) }
		}, verify.KindNoCredit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				b := setUp(t, func(b *bench, cfg *engine.Config) {
					limited(b, cfg) // a second start is refused by the velocity rules
					cfg.Policy.RequestsPerSecond, cfg.Metrics = 0, reg
				})
				again := tt.refuse(b)
				for range 3 {
					if _, err := b.Start(t.Context(), b.account, b.request()); err == nil || kind(err) != tt.kind {
						t.Errorf("got %v (kind %d), want kind %d", err, kind(err), tt.kind)
					}
				}
				if n := sum(t, reg, "countersign_verifications_started_total"); n != 0 {
					t.Errorf("%v count as started", n)
				}
				if n := len(b.carrier.all()); n != 0 {
					t.Errorf("%d messages were sent", n)
				}
				again()
				v, err := b.Start(t.Context(), b.account, b.request())
				must(t, err)
				b.settled(v.ID, 0)
				if n := sum(t, reg, "countersign_verifications_started_total"); n != 1 {
					t.Errorf("%v count as started, want 1", n)
				}
				if _, charges, err := b.db.LedgerSum(t.Context(), b.account.Key); err != nil || charges > 1 {
					t.Errorf("%d charges (%v)", charges, err)
				}
				other := b.request()
				other.To = verify.PhoneAddress("447700900001", other.To.Country) // same prefix
				if _, err := b.Start(t.Context(), b.account, other); kind(err) != verify.KindBlocked {
					t.Errorf("the velocity rules do not count the start that was accepted: %v", err)
				}
			})
		})
	}
}

// sum adds the series of a counter or gauge.
func sum(t *testing.T, reg prometheus.Gatherer, name string) (total float64) {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}

// watchedNode counts a node's checks for due steps, and the reported outcomes.
func watchedNode(looks, reports *atomic.Int32) func(*bench, *engine.Config) {
	return func(_ *bench, cfg *engine.Config) {
		cfg.Hold = func() error { looks.Add(1); return nil }
		cfg.Report = func(operation string, err error) {
			if operation == "step" && err == nil {
				reports.Add(1)
			}
		}
	}
}

// TestRowsOfAnotherNode: while another node locks the due rows, a node checks for due rows
// every 50 ms. It takes them at the first check after their release.
func TestRowsOfAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks, reports atomic.Int32
		database := pgtest.Prepared(t, "migrated", store.Migrate)
		b := setUpNode(t, database, vault.NewKey(), clockwork.NewFakeClockAt(at(20)), watchedNode(&looks, &reports))
		v, _ := b.orphan(1) // due since t0 + 15 s
		other, err := pgtest.Open(database)
		must(t, err)
		defer other.Close()
		tx, err := other.BeginTx(t.Context(), nil)
		must(t, err)
		_, err = tx.ExecContext(t.Context(), `SELECT id FROM verifications FOR UPDATE`)
		must(t, err)
		b.resume()
		for look := int32(1); look <= 5; look++ {
			b.rest()
			if n := looks.Load(); n != look {
				t.Fatalf("%d checks in %d ms, want %d", n, 50*(look-1), look)
			}
			b.clock.Advance(49 * time.Millisecond)
			b.rest()
			if n := looks.Load(); n != look {
				t.Fatalf("checked again before 50 ms: %d checks, want %d", n, look)
			}
			b.clock.Advance(time.Millisecond)
			b.rest()
		}
		b.rest()
		if n := reports.Load(); n != 0 || len(b.carrier.all()) != 0 {
			t.Errorf("%d outcomes reported and %d messages sent while another node has the row", n, len(b.carrier.all()))
		}
		must(t, tx.Rollback())
		b.clock.Advance(50 * time.Millisecond)
		if e := b.settled(v.ID, 0); e.State != verify.EventAccepted || e.Attempt != 2 {
			t.Errorf("the event is %+v", e)
		}
		if n := reports.Load(); n == 0 {
			t.Error("the step is not reported")
		}
	})
}

// TestDueWithoutPlaces: a due step waits while no slot is free, and the runner retries every
// 10 ms.
func TestDueWithoutPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks, reports atomic.Int32
		b := setUp(t, watchedNode(&looks, &reports))
		v, _ := b.orphan(1)
		b.clock.Advance(20 * time.Second)
		release := b.Occupy()
		b.resume()
		for look := int32(1); look <= 3; look++ {
			b.rest()
			if n := looks.Load(); n != look {
				t.Fatalf("%d checks in %d ms, want %d", n, 10*(look-1), look)
			}
			b.clock.Advance(10 * time.Millisecond)
			b.rest()
		}
		if n := len(b.carrier.all()); n != 0 {
			t.Errorf("%d messages were sent without a slot", n)
		}
		b.rest()
		release()
		b.clock.Advance(10 * time.Millisecond)
		if e := b.settled(v.ID, 0); e.State != verify.EventAccepted {
			t.Errorf("the event is %+v", e)
		}
	})
}

// TestPlacesComeBack: failed starts, and steps without a message, free their slots.
func TestPlacesComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		b := setUp(t, func(_ *bench, cfg *engine.Config) { cfg.Metrics = reg })
		b.fail("INSERT")
		if _, err := b.Start(t.Context(), b.account, b.request()); err == nil {
			t.Error("a start succeeded that cannot be written")
		}
		b.mend()
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		b.settled(v.ID, 0)
		_, err = b.Check(t.Context(), b.account, v.ID, v.PIN, "")
		must(t, err)
		b.orphan(2) // not sent again
		b.clock.Advance(20 * time.Second)
		b.resume()
		b.rest()
		b.Delivered(context.WithoutCancel(t.Context()), "")
		b.rest()
		if n := sum(t, reg, "countersign_messages_queued"); n != 0 {
			t.Errorf("%v slots are not free", n)
		}
	})
}
