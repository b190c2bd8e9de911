package engine_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// TestForgetNumberCounts: in metrics and velocity rules, a verification ended by the erasure
// of its number counts as cancelled, or as expired if it was past its end.
func TestForgetNumberCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  time.Duration
		status verify.Status
	}{
		"in progress": {time.Second, verify.Cancelled},
		"overdue":     {time.Hour, verify.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := prometheus.NewRegistry()
			var watch *velocity.Watch
			b := setUp(t, func(b *bench, cfg *engine.Config) {
				watch = velocity.New(velocity.Config{
					Store: b.db, Clock: b.clock, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
					Rules: fraud.Rules{Conversion: fraud.Conversion{Mode: fraud.Shadow, Window: time.Hour, Finished: 100, Below: 1}},
				})
				cfg.Velocity, cfg.Metrics = watch, reg
			})
			v, err := b.Start(t.Context(), b.account, b.request())
			must(t, err)
			await.Until(t, "at the carrier: the SMS", func() bool { return len(b.carrier.all()) == 1 })
			b.clock.Advance(c.after)
			if _, err := b.ForgetNumber(t.Context(), store.Forget{Number: v.To.Given, Cancel: true}); err != nil {
				t.Fatal(err)
			}
			if got := counted(t, reg, "countersign_verifications_ended_total", string(c.status)); got != 1 {
				t.Errorf("%v ended with %s, want 1", got, c.status)
			}
			must(t, watch.Sync(t.Context()))
			if n := finished(t, b.db); n != 1 {
				t.Errorf("velocity rules count %d finished verifications, want 1", n)
			}
		})
	}
}

// counted returns the value of a counter by its only label.
func counted(t *testing.T, reg prometheus.Gatherer, name, label string) (value float64) {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				value += m.GetCounter().GetValue()
			}
		}
	}
	return value
}

// finished returns the number of finished verifications that the nodes published.
func finished(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	nodes, err := db.FraudNodes(t.Context())
	must(t, err)
	for node := range nodes {
		entries, _, err := db.FraudEntries(t.Context(), node, 0, time.Time{}, 100)
		must(t, err)
		for _, e := range entries {
			n += int(e.Finished)
		}
	}
	return n
}
