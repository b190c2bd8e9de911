package main

import "time"

// cell is a PostgreSQL server with its nodes and accounts. Cells are independent of each
// other, so each can be simulated separately.
type cell struct {
	*sim
	stats
	in       inputs
	nodes    []*node
	database *cores
	disk     *disk
	trip     time.Duration // round trip between a node and the database
	embedded bool          // SQLite, in the node
	// acceptOnly simulates only the acceptance, like a benchmark to compare with.
	acceptOnly bool
	costs      costs

	accounts []float64 // cumulative shares of the load
	locks    []lock    // row locks, by account
	due      fifo[*life]
	down     bool // the database is down, since failed
	failed   time.Duration
	usedNode time.Duration // processor time until the measurement began
	usedBase time.Duration
}

// costs are frequently used inputs.
type costs struct {
	start, check, outcome, receipt, step, claim write
	commitWrite, commitDatabase                 time.Duration
	commitTrips                                 int
	read                                        time.Duration
	startNode, checkNode, receiptNode, submit   time.Duration
	startReads, checkReads                      int
}

// write is the cost of a writer's job.
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
		if kind != "step" { // steps share the round trips of their claim
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
		c.startReads, c.checkReads = 0, 0 // included in the node's time
		return c
	}
	c.claim = write{database: in.work("claim.database"), trips: in.count("claim.trips")}
	c.commitWrite, c.commitDatabase, c.commitTrips = in.work("commit.write"), in.work("commit.database"), in.count("commit.trips")
	c.read = in.work("read.database")
	return c
}

// newCell returns a cell with PostgreSQL on a separate machine.
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

// newBench returns a model of the benchmark machine. Client, node and database share its
// cores, and the client's work is added to the node's.
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

// setAccounts sets the distribution of the load over accounts.
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

// fail stops the database: uncommitted writes are lost, and waiting and new requests are
// refused immediately.
func (c *cell) fail() {
	c.down, c.failed = true, c.now
	for _, n := range c.nodes {
		n.drop(false)
	}
}

// recover restores the database in the state of the last commit.
func (c *cell) recover() {
	c.down = false
	for _, n := range c.nodes {
		if c.now-c.failed > c.in.time("lease") { // leases expired: other nodes may resend
			c.rescued += len(n.flying)
		}
		n.look()
	}
}

// kill stops a node's process, or its machine if vanished is set. The database aborts the
// transactions of a vanished machine only after a timeout.
func (c *cell) kill(n *node, vanished bool) {
	n.dead = true
	c.after(c.in.time("balancer"), func() { n.balanced = false })
	n.drop(vanished)
	for _, l := range n.flying {
		// When the lease expires, the outcome of the message is unknown.
		c.after(c.in.time("lease"), func() { c.fallDue(l, true) })
	}
	n.flying = nil
}

// pick returns the node to which the load balancer sends a request.
func (c *cell) pick() *node {
	for {
		if n := c.nodes[c.rand.IntN(len(c.nodes))]; n.balanced {
			return n
		}
	}
}

// fallDue queues a due row for any node.
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
