package main

import (
	"cmp"
	"slices"
	"time"
)

// node is a server of a cell.
type node struct {
	cell    *cell
	cores   *cores
	writers []*writer

	slots    int     // messages in flight, and starts that reserved one
	flying   []*life // verifications with a message in flight
	looking  bool    // processing due rows
	dead     bool
	balanced bool // receives requests from the load balancer
}

// write queues a job with the writer of its account, or with the least loaded writer
// (internal/store, writerFor). The last writer.apart writers accept only jobs without an
// account.
func (n *node) write(j job) {
	apart := n.cell.in.count("writer.apart")
	if j.account != none {
		those := len(n.writers) - apart
		n.writers[int(uint32(j.account+1)*2654435761>>16)%those].enqueue(j)
		return
	}
	idle := n.writers[len(n.writers)-apart:]
	if apart == 0 {
		idle = n.writers
	}
	slices.MinFunc(idle, func(a, b *writer) int { return cmp.Compare(a.waiting(), b.waiting()) }).enqueue(j)
}

// read makes sequential queries.
func (n *node) read(times int, then func()) {
	if times == 0 {
		then()
		return
	}
	c := n.cell
	c.after(c.trip, func() {
		c.database.do(c.spread(c.costs.read), func() { n.read(times-1, then) })
	})
}

// lost reports whether the node or the database has failed.
func (n *node) lost() bool { return n.dead || n.cell.down }

// drop fails all writes of the node.
func (n *node) drop(vanished bool) {
	for _, w := range n.writers {
		w.drop(vanished)
	}
}

// fly adds a verification to the node's messages in flight; land removes it.
func (n *node) fly(l *life) {
	l.node, l.slot = n, len(n.flying)
	n.flying = append(n.flying, l)
}

func (n *node) land(l *life) {
	last := len(n.flying) - 1
	n.flying[l.slot] = n.flying[last]
	n.flying[l.slot].slot = l.slot
	n.flying = n.flying[:last]
	l.node = nil
	n.slots--
}

// look processes due rows in batches until no row is due (engine.takeSteps).
func (n *node) look() {
	c := n.cell
	if n.looking || n.lost() || c.due.len() == 0 {
		return
	}
	n.looking = true
	n.read(1, func() {
		room := min(c.in.count("claims"), c.in.count("messages")-n.slots)
		switch {
		case n.lost() || c.due.len() == 0:
			n.looking = false
		case room <= 0:
			c.after(10*time.Millisecond, func() { n.looking = false; n.look() })
		default:
			n.claim(room)
		}
	})
}

// claim acquires the leases of up to room due rows in one transaction.
func (n *node) claim(room int) {
	c := n.cell
	var rows []*life
	n.slots += room
	n.write(job{
		account: none, write: c.costs.claim,
		take: func() write {
			for len(rows) < room && c.due.len() > 0 {
				if l := c.due.pop(); !l.over {
					rows = append(rows, l)
				}
			}
			each := c.costs.step
			return write{node: time.Duration(len(rows)) * each.node, database: time.Duration(len(rows)) * each.database}
		},
		done: func(ok bool) {
			n.slots -= room
			for _, l := range rows {
				if ok {
					n.step(l)
				} else {
					c.fallDue(l, l.rescue)
				}
			}
			n.looking = false
			n.look()
		},
	})
}
