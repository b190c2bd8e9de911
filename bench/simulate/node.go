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

	slots    int     // messages on their way, and starts that will have one
	flying   []*life // verifications whose message it is at work on
	looking  bool    // it is at work on what is due
	dead     bool
	balanced bool // the load balancer sends it requests
}

// write gives a job to a writer: to that of the account, or to whichever has least to do
// (internal/store, writerFor). Where some writers are for jobs without an account only,
// those are the last.
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

// read asks the database so many times, one after the other.
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

// lost reports whether there is nobody to go on.
func (n *node) lost() bool { return n.dead || n.cell.down }

// drop ends all that the node writes.
func (n *node) drop(vanished bool) {
	for _, w := range n.writers {
		w.drop(vanished)
	}
}

// fly notes that the node is at work on a verification's message, land that it is not.
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

// look takes what is due, batch by batch, until nothing is (engine.takeSteps).
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

// claim takes up to so many rows in one transaction.
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
