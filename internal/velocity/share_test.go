package velocity_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/fraud"
	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/velocity"
)

// TestNewsCountOnce: a node counts the news of another node once, at any number of syncs,
// and never counts its own news again.
func TestNewsCountOnce(t *testing.T) {
	t.Parallel()
	in := install(t)
	if !store.IsPostgres(in.database) { // SQLite has one node
		in.database = pgtest.Prepared(t, "migrated", store.Migrate)
	}
	a, b := in.node(counting), in.node(counting)
	sync := func(want int64) {
		t.Helper()
		for range 3 {
			must(t, a.Sync(t.Context()))
			must(t, b.Sync(t.Context()))
		}
		for name, n := range map[string]node{"a": a, "b": b} {
			if got := n.starts("447700900999"); got != want {
				t.Errorf("node %s counts %d starts, want %d", name, got, want)
			}
		}
	}
	a.fail(3)
	sync(3)
	b.fail(2)
	sync(5)
	a.fail(1)
	sync(6)
	if got := in.node(counting).starts("447700900999"); got != 6 {
		t.Errorf("a new node counts %d starts, want 6", got)
	}
}

// TestManyNews: at its start a node reads the news of other nodes in portions until it
// has all of them. It ignores news that are too old for every rule.
func TestManyNews(t *testing.T) {
	t.Parallel()
	in := install(t)
	n := in.unloaded(counting)
	const portion = 256
	n.publish(1, "GB", 1000, 0, t0, t0.Add(-2*time.Hour)) // too old
	for i := range int64(portion + 3) {
		n.publish(i+2, "GB", 1, 0, t0, t0)
	}
	must(t, n.Load(t.Context()))
	if got, want := n.starts("447700900999"), int64(portion+3); got != want {
		t.Errorf("%d starts are known, want %d", got, want)
	}
}

// TestOldNews: a node with only news that are too old does not block a reader.
func TestOldNews(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // reached only if the test fails
	defer cancel()
	n := install(t).unloaded(counting)
	n.publish(1, "GB", 5, 0, t0, t0.Add(-2*time.Hour))
	if err := n.Load(ctx); err != nil {
		t.Fatalf("load: %v", err)
	}
	if got := n.starts("447700900999"); got != 0 {
		t.Errorf("%d starts are known, want none", got)
	}
}

// TestClocksDiffer: a block made by a node with a slow clock applies on the others.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	in := install(t)
	b := in.node()
	slow := in.node(func(c *velocity.Config) { c.Clock = clockwork.NewFakeClockAt(t0.Add(-20 * time.Second)) })
	slow.fail(10)
	slow.start("447700900999")
	must(t, slow.Sync(t.Context()))
	must(t, b.Sync(t.Context()))
	if got := b.start("447700900999"); got != "4477009" {
		t.Errorf("the block does not hold: %q", got)
	}
}

// TestClockCorrected: after the clock of a node was ahead and is corrected, blocks made by
// other nodes in the meantime apply on it.
func TestClockCorrected(t *testing.T) {
	t.Parallel()
	in := install(t)
	clock := clockwork.NewFakeClockAt(t0.Add(time.Hour))
	ahead := in.node(func(c *velocity.Config) { c.Clock = clock })
	right := in.node()
	right.fail(10)
	right.start("447700900999")
	must(t, right.Sync(t.Context()))
	clock.Advance(-time.Hour)
	must(t, ahead.Sync(t.Context()))
	if got := ahead.start("447700900999"); got != "4477009" {
		t.Errorf("the block does not hold: %q", got)
	}
}

// TestFailedNewsAreRepeated: the next sync stores news that could not be stored, unchanged
// and once. Later counts follow in separate news.
func TestFailedNewsAreRepeated(t *testing.T) {
	t.Parallel()
	n := install(t).node()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	n.fail(2)
	if err := n.Sync(gone); !errors.Is(err, context.Canceled) {
		t.Fatalf("sync: %v, want that it was cancelled", err)
	}
	n.fail(3)
	for _, want := range []int64{2, 5, 5} {
		must(t, n.Sync(t.Context()))
		if got := n.published(); got != want {
			t.Errorf("%d starts are published, want %d", got, want)
		}
	}
	nodes, err := n.db.FraudNodes(t.Context())
	must(t, err)
	if len(nodes) != 1 {
		t.Errorf("nodes are %v, want one", nodes)
	}
	for _, seq := range nodes {
		if seq != 2 { // without counts there are no news
			t.Errorf("the node published %d news, want 2", seq)
		}
	}
}

// TestStoreFails: a database error is returned by Load, Sync and the commands.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	operations := map[string]func(n node) error{
		"load": func(n node) error { return n.Load(ctx) },
		"sync": func(n node) error { return n.Sync(ctx) },
		"unblock": func(n node) error {
			_, err := n.Unblock(ctx, account(), "4477009", time.Hour)
			return err
		},
		"status": func(n node) error {
			_, err := velocity.Status(ctx, n.db, t0, time.Hour, 10)
			return err
		},
	}
	for table, fail := range map[string][]string{
		"fraud_nodes":    {"load", "status"},
		"fraud_log":      {"load", "status"},
		"fraud_blocks":   {"load", "sync", "unblock"},
		"fraud_unblocks": {"load", "sync", "unblock"},
	} {
		for _, name := range fail {
			t.Run(table+" "+name, func(t *testing.T) {
				t.Parallel()
				in := install(t)
				n := in.node()
				n.publish(1, "GB", 5, 0, t0, t0)
				db, err := pgtest.Open(in.database)
				must(t, err)
				defer db.Close()
				_, err = db.ExecContext(ctx, `ALTER TABLE `+table+` RENAME TO gone`)
				must(t, err)
				if err := operations[name](n); err == nil || errors.Is(err, store.ErrNoBlock) {
					t.Errorf("%s without the table: %v", name, err)
				}
			})
		}
	}
}

// TestStatus: the places of all nodes are summed and sorted by their starts. Counts older
// than the given time, and counts from the future, are excluded.
func TestStatus(t *testing.T) {
	t.Parallel()
	n := install(t).node()
	entry := func(minutesAgo int64, account, network, prefix string, starts int64) fraud.Entry {
		return fraud.Entry{
			Minute: t0.Unix()/60 - minutesAgo, Account: account, Country: "GB", Network: network, Prefix: prefix,
			Counts: fraud.Counts{Starts: starts, Sends: 2 * starts},
		}
	}
	for node, entries := range map[string][]fraud.Entry{
		"x": {
			entry(0, "a", "", "4477009", 3), entry(59, "a", "", "4477009", 4), entry(60, "a", "", "4477009", 100),
			entry(-5, "a", "23410", "4477001", 1), entry(-6, "a", "23410", "4477001", 100),
			{Minute: t0.Unix() / 60, Account: "a", Source: "192.0.2.1", Counts: fraud.Counts{Starts: 50}},
		},
		"y": {entry(1, "a", "", "4477009", 5), entry(1, "b", "23410", "4477002", 1), entry(1, "c", "", "4477002", 9)},
	} {
		for i, e := range entries {
			must(t, n.db.TellFraud(t.Context(), store.FraudNews{Node: node, Seq: int64(i + 1), At: t0, Entries: []fraud.Entry{e}}))
		}
	}
	want := []string{"a 4477009 12", "c 4477002 9", "a 23410 1", "b 23410 1"}
	for limit, count := range map[int]int{10: 4, 4: 4, 2: 2} {
		places, err := velocity.Status(t.Context(), n.db, t0, time.Hour, limit)
		must(t, err)
		if len(places) != count {
			t.Fatalf("%d places of at most %d: %+v", len(places), limit, places)
		}
		for i, p := range places {
			if got := p.Account + " " + p.Network + " " + strconv.FormatInt(p.Starts, 10); got != want[i] || p.Country != "GB" || p.Sends != 2*p.Starts {
				t.Errorf("place %d is %+v, want %s", i, p, want[i])
			}
		}
	}
}
