package engine_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// TestExpiredByStart: a start that ends an overdue verification of its number counts it
// for the conversion rule and the metric, as the runner would.
func TestExpiredByStart(t *testing.T) {
	t.Parallel()
	const finished = 3
	reg := prometheus.NewRegistry()
	b := setUp(t, func(b *bench, cfg *engine.Config) { // without Resume, so that no runner ends it
		cfg.Metrics = reg
		cfg.Velocity = velocity.New(velocity.Config{Store: b.db, Clock: b.clock, Log: cfg.Log, Metrics: prometheus.NewRegistry(), Rules: fraud.Rules{
			Conversion: fraud.Conversion{Mode: fraud.Enforce, Window: 24 * time.Hour, Finished: finished, Below: 50, Blocks: []time.Duration{time.Hour}},
		}})
	})
	for n := range finished + 1 {
		v, err := b.Start(t.Context(), b.account, b.request())
		if err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
		b.settled(v.ID, 0)
		b.clock.Advance(time.Hour)
	}
	if n := sum(t, reg, "countersign_verifications_ended_total"); n != finished {
		t.Errorf("%v count as ended, want %d", n, finished)
	}
	if _, err := b.Start(t.Context(), b.account, b.request()); kind(err) != verify.KindBlocked {
		t.Errorf("got %v after %d verifications without success, want a block", err, finished)
	}
}
