package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/pgtest"
)

// TestNodesFailover runs two nodes on a primary with synchronous replication, while clients use
// them. It crashes the primary and promotes the standby. According to the journals of clients
// and phone, the new primary must have all acknowledged work. The nodes name both servers, and
// are not restarted.
func TestNodesFailover(t *testing.T) {
	t.Parallel()
	require(t)
	seed := uint64(setting(t, "COUNTERSIGN_SEED", rand.Int64()))
	t.Logf("COUNTERSIGN_SEED=%d", seed)
	primary, standby, database := pgtest.StartPair(t, true)
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1<<62)), postgres: standby, database: standby.On(database)}
	// The first host of one node is the standby, which this node must skip before the promotion.
	// The other node must skip the old primary afterwards.
	c.add(&clusterNode{database: pgtest.Hosts(database, primary, standby)})
	c.add(&clusterNode{database: pgtest.Hosts(database, standby, primary)})

	l := newLoad(seed, c.urls()...)
	l.offers = []plan{crashPlans()[1], crashPlans()[4]} // short plans, with three events and with one
	ctx, noMore := context.WithCancel(t.Context())
	defer noMore()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.run(ctx)
	}()
	l.awaitAnswers(t, 200)
	o := outage{died: time.Now(), dark: true}
	primary.Crash(t)
	lapse(c.between(0, time.Second)) // the time a supervisor takes to notice
	begun := time.Now()
	standby.Promote(t)
	promoted := time.Now()
	c.awaitAll()
	o.inFlight, o.back = inFlight(t, c.database, o.died), time.Now()
	l.awaitAnswers(t, 200)
	noMore()
	last := time.Now()
	<-finished
	lapse(time.Until(last.Add(longestOf(l.offers))))
	lapse(time.Until(o.back.Add(longestOf(l.offers) + nodesLease + time.Second)))

	e := l.collect(t)
	for _, n := range c.nodes {
		n.server.stop(t)
	}
	e.outages, e.lease, e.books = []outage{o}, nodesLease, readBooks(t, c.database)
	e.touch()
	v := judge(e)
	v.report(t)
	after := func(at time.Time) time.Duration { return at.Sub(o.died).Round(time.Millisecond) }
	t.Logf("after the crash: errors until %v; the promotion began at %v and ended at %v", after(l.lastError()), after(begun), after(promoted))
	t.Log(v)
}

// awaitAnswers waits for n more answers to clients without an error.
func (l *load) awaitAnswers(t *testing.T, n int) {
	t.Helper()
	want := l.answers() + n
	await.Until(t, fmt.Sprint(n, " more answers"), func() bool { return l.answers() >= want })
}

func (l *load) answers() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		if c.status != "" {
			n++
		}
	}
	return n
}

// lastError returns the time of the last error that a client received.
func (l *load) lastError() (last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		if c.status == "" && c.answered.After(last) {
			last = c.answered
		}
	}
	return last
}
