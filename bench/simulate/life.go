package main

import "time"

// life is a verification with workflow 1, except that all messages are SMS.
type life struct {
	account int
	events  int           // number of messages so far
	due     time.Duration // time of the next step
	over    bool
	rescue  bool   // the lease expired before the outcome was written
	node    *node  // node with the message in flight
	slot    int    // index in node.flying
	then    func() // called after a check; nil if unused
}

// wait returns the time from an event to the next step, or to the end after the last event.
func wait(events int) time.Duration {
	return [...]time.Duration{0, 125 * time.Second, 180 * time.Second, 300 * time.Second}[events]
}

const (
	lastEvent = 3
	maxTries  = 5 // retries of a refused request
)

// arrive is a request to start a verification.
func (c *cell) arrive(account, try int, done func(ok bool)) {
	c.arrived++
	c.starting++
	n, began := c.pick(), c.now
	refuse := func() {
		c.starting--
		c.refused++
		c.noteRefusal()
		if done == nil {
			c.again(try, func() { c.arrive(account, try+1, nil) })
		}
		if done != nil {
			done(false)
		}
	}
	n.cores.do(c.spread(c.costs.startNode), func() {
		n.read(c.costs.startReads, func() {
			if n.lost() || n.slots >= c.in.count("messages") {
				refuse()
				return
			}
			n.slots++
			n.write(job{account: account, write: c.costs.start, done: func(ok bool) {
				if !ok {
					n.slots--
					refuse()
					return
				}
				c.starting--
				c.start.add(c.now - began)
				c.accept(n, account)
				if done != nil {
					done(true)
				}
			}})
		})
	})
}

// accept processes a committed and answered start.
func (c *cell) accept(n *node, account int) {
	c.accepted++
	c.running++
	l := &life{account: account, events: 1, due: c.now + wait(1)}
	n.fly(l)
	if c.acceptOnly {
		n.land(l)
		return
	}
	n.deliver(l, c.now, &c.submit)
	c.perhapsTyped(l, c.in.value("typed"))
}

// perhapsTyped schedules a check of a message's code, with the given probability.
func (c *cell) perhapsTyped(l *life, share float64) {
	if c.chance(share) {
		c.after(c.human(c.in.time("typing")), func() { c.checkCode(l, 0) })
	}
}

// deliver submits a message to a carrier and writes the outcome.
func (n *node) deliver(l *life, since time.Duration, h *histogram) {
	c := n.cell
	n.cores.do(c.spread(c.costs.submit), func() {
		if n.dead {
			return
		}
		c.sent++
		h.add(c.now - since)
		c.after(c.exponential(c.in.time("carrier.answer")), func() { n.outcome(l, 200*time.Millisecond) })
		if c.chance(c.in.value("receipts")) {
			c.after(c.exponential(c.in.time("receipt.after")), c.receipt)
		}
	})
}

// outcome writes an outcome, with retries (engine.finish), and releases the lease.
func (n *node) outcome(l *life, pause time.Duration) {
	c := n.cell
	if n.dead {
		return
	}
	n.write(job{account: none, write: c.costs.outcome, done: func(ok bool) {
		switch {
		case n.dead:
		case !ok:
			c.after(pause, func() { n.outcome(l, min(2*pause, 3*time.Second)) })
		default:
			c.outcomes++
			n.land(l)
			c.plan(l)
		}
	}})
}

// plan schedules the next step.
func (c *cell) plan(l *life) {
	if !l.over {
		c.after(l.due-c.now, func() { c.fallDue(l, false) })
	}
}

// receipt processes a receipt at any node. The carrier resends an unacknowledged receipt.
func (c *cell) receipt() {
	n := c.pick()
	n.cores.do(c.spread(c.costs.receiptNode), func() {
		n.write(job{account: none, write: c.costs.receipt, done: func(ok bool) {
			if !ok {
				c.after(5*time.Second, c.receipt)
			}
		}})
	})
}

// step takes the step of a due row after the commit of its claim.
func (n *node) step(l *life) {
	c := n.cell
	switch {
	case l.over: // a check has ended it
	case l.rescue:
		l.rescue = false
		c.rescued++
		n.slots++
		n.fly(l)
		n.deliver(l, c.now, &histogram{})
	case l.events == lastEvent:
		c.end(l)
	default:
		since := l.due
		l.events++
		l.due = c.now + wait(l.events)
		n.slots++
		n.fly(l)
		n.deliver(l, since, &c.late)
		c.perhapsTyped(l, c.in.value("typed.later"))
	}
}

func (c *cell) end(l *life) {
	if !l.over {
		l.over = true
		c.ended++
		c.running--
	}
}

// checkCode processes a check request.
func (c *cell) checkCode(l *life, try int) {
	c.checks++
	c.checking++
	n, began := c.pick(), c.now
	done := func(ok bool) {
		c.checking--
		if l.then != nil {
			defer l.then()
		}
		switch {
		case !ok:
			c.checksRefused++
			c.noteRefusal()
			c.again(try, func() { c.checkCode(l, try+1) })
		case c.chance(c.in.value("wrong")):
			c.check.add(c.now - began)
			c.checked++
			c.after(c.human(c.in.time("typing")), func() { c.checkCode(l, 0) })
		default:
			c.check.add(c.now - began)
			c.checked++
			c.end(l)
		}
	}
	n.cores.do(c.spread(c.costs.checkNode), func() {
		n.read(c.costs.checkReads, func() {
			if n.lost() {
				done(false)
				return
			}
			n.write(job{account: l.account, write: c.costs.check, done: done})
		})
	})
}

// again retries a refused request, or counts that the user gives up.
func (c *cell) again(try int, do func()) {
	if try < maxTries && c.chance(c.in.value("tries")) {
		c.after(c.exponential(c.in.time("tries.after")), do)
	} else {
		c.gaveUp++
	}
}

func (c *cell) noteRefusal() {
	if c.firstRefused == 0 {
		c.firstRefused = c.now
	}
	c.lastRefused = c.now
}
