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

// TestNodesFailover lets two nodes work on a primary that replicates synchronously, while
// clients use them. It crashes the primary, promotes the standby, and judges by the
// journals of clients and phone whether everything that was answered is in the new
// primary. The nodes name both servers, and are not restarted.
func TestNodesFailover(t *testing.T) {
	t.Parallel()
	require(t)
	seed := uint64(setting(t, "COUNTERSIGN_SEED", rand.Int64()))
	t.Logf("COUNTERSIGN_SEED=%d", seed)
	primary, standby, database := pgtest.StartPair(t, true)
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1<<62)), postgres: standby, database: standby.On(database)}
	// The first host of one node is the standby: it has to pass over it before, and the other
	// node after the promotion.
	c.add(&clusterNode{database: pgtest.Hosts(database, primary, standby)})
	c.add(&clusterNode{database: pgtest.Hosts(database, standby, primary)})

	l := newLoad(seed, c.urls()...)
	l.offers = []plan{crashPlans()[1], crashPlans()[4]} // short ones, of three events and of one
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
	lapse(c.between(0, time.Second)) // as a supervisor takes to notice
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

// awaitAnswers waits until clients had n more answers that are not errors.
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

// lastError is when a client was last answered with an error.
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
