package velocity_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// records is a log that a test reads: each line with its attributes.
type records struct {
	mu   sync.Mutex
	list []map[string]string
}

// Enabled implements [slog.Handler], as do the other methods.
func (*records) Enabled(context.Context, slog.Level) bool { return true }

func (r *records) Handle(_ context.Context, line slog.Record) error {
	fields := map[string]string{slog.MessageKey: line.Message, slog.LevelKey: line.Level.String()}
	line.Attrs(func(a slog.Attr) bool {
		fields[a.Key] = a.Value.String()
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fields)
	return nil
}

func (r *records) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *records) WithGroup(string) slog.Handler      { return r }

// lines returns the lines with a message.
func (r *records) lines(message string) (list []map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fields := range r.list {
		if fields[slog.MessageKey] == message {
			list = append(list, fields)
		}
	}
	return list
}

// metric returns the value of the series with the given label values, in the order of the
// label names.
func (n node) metric(name string, labels ...string) float64 {
	n.t.Helper()
	families, err := n.reg.Gather()
	must(n.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && strings.Join(values, " ") == strings.Join(labels, " ") {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	n.t.Fatalf("no metric %s %v", name, labels)
	return 0
}

// counting adds a rule in shadow mode, which lets every start pass and reports the counts.
func counting(c *velocity.Config) {
	c.Rules.Prefix = fraud.Volume{Mode: fraud.Shadow, Window: time.Hour, Starts: 1, Blocks: []time.Duration{time.Millisecond}}
}

// starts returns the node's count of starts on the prefix of a number in the last hour. The
// node must be made with counting.
func (n node) starts(number string) int64 {
	n.t.Helper()
	n.in.clock.Advance(time.Millisecond) // past the block that a start made
	d, err := n.Try(n.t.Context(), account(), request(number), 0)
	must(n.t, err)
	for _, b := range d.Would {
		if b.Rule == fraud.RulePrefix {
			return b.Figures.Starts
		}
	}
	return 0
}

// published returns the sum of the starts in the news of all nodes.
func (n node) published() (starts int64) {
	n.t.Helper()
	nodes, err := n.db.FraudNodes(n.t.Context())
	must(n.t, err)
	for node := range nodes {
		entries, _, err := n.db.FraudEntries(n.t.Context(), node, 0, time.Time{}, 1000)
		must(n.t, err)
		for _, e := range entries {
			if e.Prefix != "" {
				starts += e.Starts
			}
		}
	}
	return starts
}

// publish stores news of another node at the time now: starts to a country at a time.
func (n node) publish(seq int64, country string, starts int64, spend verify.Money, at, now time.Time) {
	n.t.Helper()
	must(n.t, n.db.TellFraud(n.t.Context(), store.FraudNews{Node: "other", Seq: seq, At: now, Entries: []fraud.Entry{{
		Minute: at.Unix() / 60, Account: "demo0001", Country: country, Prefix: "4477009",
		Counts: fraud.Counts{Starts: starts, Spend: int64(spend)},
	}}}))
}

// blocks returns the stored blocks of a rule, the newest first.
func (n node) blocks(rule fraud.Rule, now time.Time) (list []fraud.Block) {
	n.t.Helper()
	all, err := n.db.FraudBlocks(n.t.Context(), true, now, 100)
	must(n.t, err)
	for _, b := range all {
		if b.Rule == rule {
			list = append(list, b)
		}
	}
	return list
}
