package server

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/config"
	"countersign/internal/store"
)

// writes contains the metrics of database writes.
type writes struct {
	size prometheus.Histogram
	took prometheus.Histogram
}

func newWrites(reg prometheus.Registerer) *writes {
	w := &writes{
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_database_batch_writes", Help: "Number of writes in a committed batch.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64},
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "countersign_database_batch_duration_seconds", Help: "Duration of a batch of writes with its commit, including failed batches.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
	}
	reg.MustRegister(w.size, w.took)
	return w
}

// committed is [store.Config.Committed].
func (w *writes) committed(n int, took time.Duration) {
	w.size.Observe(float64(n))
	w.took.Observe(took.Seconds())
}

// registerMetrics registers the metrics of the program and its database.
func (s *Server) registerMetrics(reg prometheus.Registerer) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_build_info", Help: "Always 1. The labels are the version of the program, its commit and the version of Go.",
		ConstLabels: prometheus.Labels{
			"version": cmp.Or(s.opts.Version, "(devel)"), "commit": cmp.Or(s.opts.Commit, "unknown"), "go_version": runtime.Version(),
		},
	})
	build.Set(1)
	reg.MustRegister(build,
		newPoolCollector(func() map[string]store.PoolStats {
			stats := s.db.Stats()
			return map[string]store.PoolStats{"read": stats.Read, "keys": stats.Keys}
		}),
		gauge("countersign_database_queued_writes", "Writes waiting for the writer or in progress.",
			func() float64 { return float64(s.db.Stats().Queued) }),
		gauge("countersign_database_queued_writes_limit", "Maximum number of waiting writes; beyond it requests get 503.",
			func() float64 { return float64(s.db.Stats().QueueLimit) }),
		newBacklogCollector(s.readBacklog, s.opts.Clock),
	)
}

func gauge(name, help string, read func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
}

// protocols returns the protocol label of each carrier.
func protocols(carriers []config.Carrier) map[string]string {
	of := map[string]string{}
	for _, c := range carriers {
		of[c.Name] = CarrierTypeOf(c).Protocol
	}
	return of
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// poolCollector exports the state of database connection pools.
type poolCollector struct {
	read func() map[string]store.PoolStats // key: name of the pool

	open, limit, waits, waited *prometheus.Desc
}

func newPoolCollector(read func() map[string]store.PoolStats) *poolCollector {
	return &poolCollector{
		read:   read,
		open:   desc("countersign_database_connections", "Open connections of a pool, by state: in_use or idle. Writes have separate connections.", "pool", "state"),
		limit:  desc("countersign_database_connections_limit", "Maximum connections of a pool.", "pool"),
		waits:  desc("countersign_database_connection_waits_total", "Waits for a free connection of a pool.", "pool"),
		waited: desc("countersign_database_connection_wait_seconds_total", "Time waited for a free connection of a pool.", "pool"),
	}
}

// Describe implements [prometheus.Collector].
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.open, c.limit, c.waits, c.waited} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	for pool, s := range c.read() {
		send(c.open, prometheus.GaugeValue, float64(s.InUse), pool, "in_use")
		send(c.open, prometheus.GaugeValue, float64(s.Idle), pool, "idle")
		send(c.limit, prometheus.GaugeValue, float64(s.Limit), pool)
		send(c.waits, prometheus.CounterValue, float64(s.Waits), pool)
		send(c.waited, prometheus.CounterValue, s.Waited.Seconds(), pool)
	}
}

const (
	// overdueAfter is the delay after which a step is overdue. Without a backlog, steps
	// are late by milliseconds.
	overdueAfter = 5 * time.Second
	// backlogEvery is the minimum time between two reads of the backlog.
	backlogEvery = 10 * time.Second
	// backlogTime limits such a read, so that a scrape during an outage does not hang.
	backlogTime = time.Second
)

// backlog is the data that a scrape reads from the database.
type backlog struct {
	store.Backlog
	keys map[string]time.Time // creation times, by key
}

func (s *Server) readBacklog(ctx context.Context) (b backlog, err error) {
	now := s.opts.Clock.Now()
	if b.Backlog, err = s.db.Backlog(ctx, now, now.Add(-overdueAfter)); err != nil {
		return b, err
	}
	b.keys, err = s.db.Vault().Times(ctx)
	return b, err
}

// backlogCollector exports the backlog. It caches a read for backlogEvery, and exports no
// metrics after a failed read.
type backlogCollector struct {
	read  func(context.Context) (backlog, error)
	clock clockwork.Clock

	due, overdue, receipts, age *prometheus.Desc

	mu   sync.Mutex
	at   time.Time // time of the last read; zero before the first
	last backlog
	err  error
}

func newBacklogCollector(read func(context.Context) (backlog, error), clock clockwork.Clock) *backlogCollector {
	return &backlogCollector{
		read: read, clock: clock,
		due:      desc("countersign_steps_due", "Due steps of verifications, on all servers of the database; counted up to 10000."),
		overdue:  desc("countersign_steps_overdue", "Steps of verifications overdue by more than 5 seconds, on all servers of the database; counted up to 10000."),
		receipts: desc("countersign_receipts_pending", "Early receipts waiting for their message, for at most an hour; counted up to 10000."),
		age:      desc("countersign_key_age_seconds", "Age of the newest key: file is the key file, the others are data keys by purpose (account, secret, pin, code).", "key"),
	}
}

// Describe implements [prometheus.Collector].
func (c *backlogCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.due, c.overdue, c.receipts, c.age} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *backlogCollector) Collect(ch chan<- prometheus.Metric) {
	b, err := c.recent()
	if err != nil {
		return
	}
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	send(c.due, float64(b.Due))
	send(c.overdue, float64(b.Overdue))
	send(c.receipts, float64(b.Receipts))
	for key, created := range b.keys {
		send(c.age, c.clock.Since(created).Seconds(), key)
	}
}

// recent returns the backlog, at most backlogEvery old.
func (c *backlogCollector) recent() (backlog, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if !c.at.IsZero() && now.Sub(c.at).Abs() < backlogEvery {
		return c.last, c.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), backlogTime)
	defer cancel()
	c.last, c.err = c.read(ctx)
	c.at = now
	return c.last, c.err
}
