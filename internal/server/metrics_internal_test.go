package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/store"
)

// TestBacklogIsReadSeldom checks that scrapes cause at most one query in ten seconds,
// even if it fails, and that a failure omits the gauges.
func TestBacklogIsReadSeldom(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	var reads int
	var failure error
	reg := prometheus.NewRegistry()
	reg.MustRegister(newBacklogCollector(func(ctx context.Context) (backlog, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a read without a deadline")
		}
		reads++
		return backlog{Backlog: store.Backlog{Due: int64(reads)}}, failure
	}, clock))
	scrape := func() (families int, due float64) {
		list, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.GetName() == "countersign_steps_due" {
				due = f.Metric[0].Gauge.GetValue()
			}
		}
		return len(list), due
	}
	for range 5 {
		if _, due := scrape(); due != 1 || reads != 1 {
			t.Fatalf("due %v after %d reads", due, reads)
		}
	}
	clock.Advance(10 * time.Second)
	failure = errors.New("no connection")
	for range 5 {
		if n, _ := scrape(); n != 0 || reads != 2 {
			t.Fatalf("%d metrics after %d reads", n, reads)
		}
	}
	clock.Advance(10 * time.Second)
	failure = nil
	if _, due := scrape(); due != 3 {
		t.Errorf("due %v", due)
	}
}
