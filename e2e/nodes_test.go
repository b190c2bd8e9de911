package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/pgtest"
)

const (
	// defaultTroubles is the number of faults in TestNodes, which take two minutes.
	// COUNTERSIGN_TROUBLES sets another number, as "make torture" does.
	defaultTroubles = 20
	nodesLease      = 10 * time.Second
)

// TestNodes runs three nodes on one PostgreSQL while clients use any of them. It kills and pauses
// nodes, crashes, restarts and pauses the database, and breaks and holds the connections between
// them. The journals of clients and phone must show that no work was lost or done twice.
// Nodes do not communicate directly, so there are no such connections to break.
//
// COUNTERSIGN_SEED repeats the faults, their nodes and lulls, and the plans of the clients. It
// does not repeat the timing of processes, nor the node of each request. The log lists the
// faults in order.
func TestNodes(t *testing.T) {
	troubles := int(setting(t, "COUNTERSIGN_TROUBLES", defaultTroubles))
	seed := uint64(setting(t, "COUNTERSIGN_SEED", rand.Int64()))
	t.Logf("%d troubles, COUNTERSIGN_SEED=%d", troubles, seed)
	c := newCluster(t, seed)
	l := newLoad(seed, c.urls()...)
	ctx, noMore := context.WithCancel(t.Context())
	defer noMore()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.run(ctx)
	}()
	for i := range troubles {
		lull := c.lull()
		lapse(lull)
		t.Logf("trouble %d, after %v: %s", i+1, lull.Round(time.Millisecond), c.trouble())
	}
	noMore()
	last := time.Now()
	<-finished
	lapse(time.Until(last.Add(longestOf(l.offers) + nodesLease + time.Second)))

	e := l.collect(t)
	for _, n := range c.nodes {
		n.server.stop(t)
	}
	e.outages, e.lease = c.outages, nodesLease
	e.books = readBooks(t, c.database)
	e.touch()
	v := judge(e)
	v.report(t)
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		t.Logf("%3d × %s", c.counts[name], name)
	}
	t.Log(v)
}

// touch adds to inFlight the events that may have been in flight during an outage in which the
// database could not be read. Outcomes are usually recorded within hundredths of a second; the
// margin allows for a busy machine.
func (e *evidence) touch() {
	const around = 500 * time.Millisecond
	for i, o := range e.outages {
		for _, r := range e.books.verifications {
			for _, event := range r.events {
				if o.dark && event.started.After(o.died.Add(-around)) && event.started.Before(o.back.Add(around)) {
					e.outages[i].inFlight[event.id] = true
				}
			}
		}
	}
}

// cluster has several nodes on one database.
type cluster struct {
	t        *testing.T
	rng      *rand.Rand
	postgres *pgtest.Server
	database string // direct URL, without a cable
	nodes    []*clusterNode
	outages  []outage
	counts   map[string]int // number of faults by name
}

type clusterNode struct {
	listen   string
	cable    *cable // nil for a direct connection
	database string // URL in the node's configuration
	server   *server
}

func newCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1<<62)), postgres: pgtest.Start(t), counts: map[string]int{}}
	c.database = c.postgres.Create(t, "template0")
	for range 3 {
		u, err := url.Parse(c.database)
		if err != nil {
			t.Fatal(err)
		}
		n := &clusterNode{cable: newCable(t, c.postgres.Socket())}
		u.Host, u.RawQuery = n.cable.listener.Addr().String(), "sslmode=disable"
		n.database = u.String()
		c.add(n)
	}
	return c
}

// add starts another node, which is killed at the end of the test.
func (c *cluster) add(n *clusterNode) {
	c.t.Helper()
	n.listen = quietAddress(c.t)
	c.nodes = append(c.nodes, n)
	c.start(n)
	c.t.Cleanup(func() { n.server.kill() })
}

// urls returns the addresses of the nodes.
func (c *cluster) urls() (urls []string) {
	for _, n := range c.nodes {
		urls = append(urls, n.server.url)
	}
	return urls
}

// start starts a node and waits until it listens. It retries if the node ends, as it does
// without its database.
func (c *cluster) start(n *clusterNode) {
	c.t.Helper()
	for range 20 {
		n.server = launch(c.t, "demo", "--unlimited", "--listen", n.listen, "--database", n.database, "--speed", strconv.Itoa(crashSpeed))
		select {
		case n.server.url = <-n.server.log.url:
			return
		case <-n.server.ended:
			lapse(100 * time.Millisecond)
		case <-time.After(patience):
			c.t.Fatalf("the node did not log its address:\n%s", n.server.log)
		}
	}
	c.t.Fatalf("the node does not start: %v\n%s", n.server.cmd.ProcessState, n.server.log)
}

// lull returns the time until the next fault, which is usually short.
func (c *cluster) lull() time.Duration {
	x := c.rng.Float64()
	return time.Duration(x * x * float64(1500*time.Millisecond))
}

func (c *cluster) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}

// trouble causes a random fault, and waits until all nodes work again. It returns the fault
// and the node chosen for it.
func (c *cluster) trouble() string {
	c.t.Helper()
	node := c.rng.IntN(len(c.nodes))
	n := c.nodes[node]
	o := &outage{died: time.Now()}
	name, wreck := c.choose(n, o)
	c.counts[name]++
	wreck()
	c.awaitAll()
	if o.inFlight == nil {
		o.dark, o.inFlight = true, inFlight(c.t, c.database, o.died)
	}
	o.back = time.Now()
	c.outages = append(c.outages, *o)
	return fmt.Sprintf("%s (node %d)", name, node)
}

// choose returns a random fault. If the database stays available, the fault reads the events
// in flight as soon as the node is inactive.
func (c *cluster) choose(n *clusterNode, o *outage) (name string, wreck func()) {
	look := func() { o.inFlight = inFlight(c.t, c.database, o.died.Add(-longestFlight)) }
	switch p := c.rng.IntN(100); {
	case p < 40:
		return "a node is killed", func() { c.kill(look, n) }
	case p < 50:
		return "two nodes are killed", func() { c.kill(look, c.nodes[:2]...) }
	case p < 60:
		return "a node is stopped gracefully and replaced", func() {
			n.server.stop(c.t)
			look()
			c.start(n)
		}
	case p < 70:
		return "a node is paused", func() { c.pause(look, n) }
	case p < 76:
		return "PostgreSQL crashes", func() {
			c.postgres.Crash(c.t)
			lapse(c.between(0, 2*time.Second))
			c.postgres.Resume(c.t)
		}
	case p < 81:
		return "PostgreSQL is restarted", func() { c.postgres.Restart(c.t) }
	case p < 86:
		return "PostgreSQL is paused", func() {
			thaw := c.postgres.Freeze(c.t)
			lapse(c.between(100*time.Millisecond, 4*time.Second))
			thaw()
		}
	case p < 94:
		return "connections break within a message", func() {
			n.cable.cutAfter(1 + c.rng.IntN(20_000))
			lapse(c.between(0, time.Second))
			n.cable.cutNow()
		}
	default:
		return "a node is cut off from the database", func() {
			n.cable.hold()
			lapse(c.spell())
			n.cable.release()
		}
	}
}

func (c *cluster) kill(look func(), nodes ...*clusterNode) {
	for _, n := range nodes {
		select {
		case <-n.server.ended:
			c.t.Fatalf("a node ended before it was killed: %v\n%s", n.server.cmd.ProcessState, n.server.log)
		default:
		}
		n.server.kill()
	}
	lapse(lastCommit)
	look()
	lapse(c.between(0, time.Second))
	for _, n := range nodes {
		c.start(n)
	}
}

// longestFlight is the maximum duration of a submission on a busy machine.
const longestFlight = time.Second

// lastCommit is the maximum time until the database finishes a commit in progress at the
// death of its node, on a busy machine.
const lastCommit = time.Second

// spell returns the length of a pause after which a node continues its work. One pause in four
// is longer than a lease.
func (c *cluster) spell() time.Duration {
	if c.rng.IntN(4) == 0 {
		return c.between(nodesLease, nodesLease+4*time.Second)
	}
	return c.between(100*time.Millisecond, 3*time.Second)
}

// pause stops a node with SIGSTOP for a while.
func (c *cluster) pause(look func(), n *clusterNode) {
	c.t.Helper()
	signal := func(s syscall.Signal) {
		if err := n.server.cmd.Process.Signal(s); err != nil {
			c.t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	lapse(lastCommit)
	look()
	lapse(c.spell())
	signal(syscall.SIGCONT)
}

// awaitAll waits until each node answers a check, which reads and writes the database.
func (c *cluster) awaitAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.server.until(c.t, "an answer of each node", func() bool {
			got, err := n.server.tryAsk("/verify/check/json", "request_id", strings.Repeat("0", 32), "code", "0000")
			return err == nil && got["status"] == "6" // no such verification
		})
	}
}

func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
