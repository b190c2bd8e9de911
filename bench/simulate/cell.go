package main

import "time"

// cell is a PostgreSQL with its nodes, and the accounts that live there. Cells share
// nothing, so that one can be simulated by itself.
type cell struct {
	*sim
	stats
	in       inputs
	nodes    []*node
	database *cores
	disk     *disk
	trip     time.Duration // round trip between a node and the database
	embedded bool          // the database is in the node: SQLite
	// Verifications are accepted, and nothing else: for a comparison with a benchmark
	// that does no more.
	acceptOnly bool
	costs      costs

	accounts []float64 // shares of the load, added up
	locks    []lock    // of the rows of each account
	due      fifo[*life]
	down     bool // the database is, since failed
	failed   time.Duration
	usedNode time.Duration // processor time until the measurement began
	usedBase time.Duration
}

// costs are what is asked for each time, and so not looked up by name.
type costs struct {
	start, check, outcome, receipt, step, claim write
	commitWrite, commitDatabase                 time.Duration
	commitTrips                                 int
	read                                        time.Duration
	startNode, checkNode, receiptNode, submit   time.Duration
	startReads, checkReads                      int
}

// write is what one job of a writer takes.
type write struct {
	node, database time.Duration
	trips          int
}

func costsOf(in inputs, embedded bool) costs {
	of := func(kind string) write {
		if embedded {
			return write{node: in.work("sqlite." + kind)}
		}
		w := write{node: in.work(kind + ".write"), database: in.work(kind + ".database")}
		if kind != "step" { // of which many share those of a claim
			w.trips = in.count(kind + ".trips")
		}
		return w
	}
	c := costs{
		start: of("start"), check: of("check"), outcome: of("outcome"), receipt: of("receipt"), step: of("step"),
		startNode: in.work("start.node"), checkNode: in.work("check.node"), receiptNode: in.work("receipt.node"), submit: in.work("submit.node"),
		startReads: in.count("start.reads"), checkReads: in.count("check.reads"),
	}
	if embedded {
		c.commitWrite = in.work("sqlite.commit")
		c.startReads, c.checkReads = 0, 0 // what they take is part of what the node does
		return c
	}
	c.claim = write{database: in.work("claim.database"), trips: in.count("claim.trips")}
	c.commitWrite, c.commitDatabase, c.commitTrips = in.work("commit.write"), in.work("commit.database"), in.count("commit.trips")
	c.read = in.work("read.database")
	return c
}

// newCell builds one with PostgreSQL on a machine of its own.
func newCell(seed uint64, in inputs) *cell {
	c := &cell{sim: newSim(seed), in: in, trip: in.time("network.trip"), costs: costsOf(in, false)}
	c.database = newCores(c.sim, in.count("database.cores"))
	c.disk = &disk{sim: c.sim, takes: in.time("network.flush")}
	for range in.count("cell.nodes") {
		c.addNode(newCores(c.sim, in.count("node.cores")))
	}
	c.setAccounts(zipf(in.count("accounts"), in.value("skew")))
	return c
}

// newBench builds the machine of the benchmarks: client, node and database share its
// cores, and the client's work is part of the node's.
func newBench(seed uint64, in inputs, embedded bool) *cell {
	c := &cell{sim: newSim(seed), in: in, trip: in.time("bench.trip"), embedded: embedded, costs: costsOf(in, embedded)}
	c.database = newCores(c.sim, in.count("bench.cores"))
	c.disk = &disk{sim: c.sim, takes: in.time("bench.flush")}
	if embedded {
		c.trip = 0
	}
	c.costs.startNode += in.work("bench.client")
	c.costs.checkNode += in.work("bench.client")
	c.addNode(c.database)
	c.setAccounts([]float64{1})
	return c
}

func (c *cell) addNode(processors *cores) {
	n := &node{cell: c, cores: processors, balanced: true}
	writers, batch := c.in.count("writer.count"), c.in.count("writer.batch")
	if c.embedded {
		writers, batch = 1, c.in.count("sqlite.batch")
	}
	for range writers {
		n.writers = append(n.writers, &writer{node: n, max: batch})
	}
	c.nodes = append(c.nodes, n)
}

// setAccounts says how the load is spread over accounts.
func (c *cell) setAccounts(shares []float64) {
	c.accounts, c.locks = make([]float64, len(shares)), make([]lock, len(shares))
	sum := 0.0
	for i, share := range shares {
		sum += share
		c.accounts[i] = sum
	}
	for i := range c.accounts {
		c.accounts[i] /= sum
	}
}

// fail takes the database away: what was not committed is lost, and whoever waits for
// it, or comes, is refused at once.
func (c *cell) fail() {
	c.down, c.failed = true, c.now
	for _, n := range c.nodes {
		n.drop(false)
	}
}

// recover brings the database back, as it was with the last commit.
func (c *cell) recover() {
	c.down = false
	for _, n := range c.nodes {
		if c.now-c.failed > c.in.time("lease") { // no claim was renewed: another node may take it
			c.rescued += len(n.flying)
		}
		n.look()
	}
}

// kill takes a node away. Its process ends, or, if it vanished, its machine does, whose
// transactions the database gives up only after a time.
func (c *cell) kill(n *node, vanished bool) {
	n.dead = true
	c.after(c.in.time("balancer"), func() { n.balanced = false })
	n.drop(vanished)
	for _, l := range n.flying {
		// Its claim ends with its lease; whether its message had left, nobody knows.
		c.after(c.in.time("lease"), func() { c.fallDue(l, true) })
	}
	n.flying = nil
}

// pick is the node that the load balancer sends a request to.
func (c *cell) pick() *node {
	for {
		if n := c.nodes[c.rand.IntN(len(c.nodes))]; n.balanced {
			return n
		}
	}
}

// fallDue brings a row up for whichever node takes it.
func (c *cell) fallDue(l *life, rescue bool) {
	if l.over {
		return
	}
	l.rescue = rescue
	c.due.push(l)
	c.peakDue = max(c.peakDue, c.due.len())
	for _, n := range c.nodes {
		n.look()
	}
}
