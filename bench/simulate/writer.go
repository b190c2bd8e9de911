package main

import (
	"slices"
	"time"
)

// writer is one of a node: it takes all writes that wait, up to a batch, and commits
// them together (internal/store/writer.go).
type writer struct {
	node    *node
	max     int
	queue   fifo[job]
	running *batch
}

// job is one write.
type job struct {
	write

	account int          // whose rows it locks; none for none
	take    func() write // of a claim: takes rows, and says what that costs; or nil
	done    func(ok bool)
}

const none = -1

// waiting is how much it has to do.
func (w *writer) waiting() int {
	if w.running == nil {
		return w.queue.len()
	}
	return w.queue.len() + len(w.running.jobs)
}

// enqueue has a job done, or refuses it at once.
func (w *writer) enqueue(j job) {
	c := w.node.cell
	if c.down || w.node.dead || w.queue.len() >= c.in.count("writer.queue") {
		c.after(0, func() { j.done(false) })
		return
	}
	w.queue.push(j)
	c.peakQueue = max(c.peakQueue, w.queue.len())
	w.next()
}

// next begins the next batch, if there is something to do.
func (w *writer) next() {
	if w.running != nil || w.queue.len() == 0 {
		return
	}
	b := &batch{writer: w, cell: w.node.cell}
	for len(b.jobs) < w.max && w.queue.len() > 0 {
		j := w.queue.pop()
		b.jobs = append(b.jobs, j)
		if j.account != none && !b.cell.embedded {
			b.accounts = append(b.accounts, j.account)
		}
	}
	slices.Sort(b.accounts)
	b.accounts = slices.Compact(b.accounts)
	w.running = b
	b.advance = b.work
	w.node.cores.do(b.cell.spread(b.cell.costs.commitWrite), b.begin)
}

// drop ends what a writer does, and what waits for it: its node died, or the database.
func (w *writer) drop(vanished bool) {
	if b := w.running; b != nil {
		w.running, b.dead = nil, true
		if vanished {
			b.cell.after(b.cell.in.time("lock.abandoned"), b.unlock)
		} else {
			b.unlock()
		}
		for _, j := range b.jobs {
			j.done(false)
		}
	}
	for w.queue.len() > 0 {
		w.queue.pop().done(false)
	}
}

// batch is one transaction.
type batch struct {
	*writer

	cell     *cell
	jobs     []job
	accounts []int // whose rows it locks, in the order in which all do
	held     int   // how many of them it has
	waits    int   // how often it had to wait for one; odd while it does
	dead     bool  // it comes to nothing

	at      int    // the job at work
	phase   int    // of that job: the node, the way, the database, a claim's rows
	advance func() // work
}

// begin opens the transaction: the first question locks the rows of accounts.
func (b *batch) begin() {
	c := b.cell
	switch {
	case b.dead:
	case c.embedded:
		b.work()
	default:
		c.after(time.Duration(c.costs.commitTrips-1)*c.trip, func() {
			c.database.do(c.spread(c.costs.commitDatabase), b.lock)
		})
	}
}

// lock takes the locks one after the other, and waits for each that another batch has.
func (b *batch) lock() {
	for !b.dead && b.held < len(b.accounts) {
		if !b.cell.locks[b.accounts[b.held]].acquire(b) {
			b.waits++
			wait := b.waits
			b.cell.after(b.cell.in.time("lock.timeout"), func() {
				if !b.dead && b.waits == wait {
					b.fail()
				}
			})
			return
		}
		b.held++
	}
	if !b.dead {
		b.work()
	}
}

// locked is told by the lock that it waited for.
func (b *batch) locked() {
	b.waits++
	b.held++
	b.cell.after(0, b.lock)
}

// unlock gives the locks back.
func (b *batch) unlock() {
	for _, a := range b.accounts[:b.held] {
		b.cell.locks[a].release()
	}
	b.held = 0
}

// work does the jobs one after the other, as a node does: what its processor does for
// each, then the round trips, then what the database does.
func (b *batch) work() {
	c := b.cell
	for !b.dead {
		if b.at == len(b.jobs) {
			b.commit()
			return
		}
		j := &b.jobs[b.at]
		b.phase++
		switch b.phase {
		case 1:
			if j.node > 0 {
				b.node.cores.do(c.spread(j.node), b.advance)
				return
			}
		case 2:
			if j.trips > 0 && c.trip > 0 {
				c.after(time.Duration(j.trips)*c.trip, b.advance)
				return
			}
		case 3:
			if j.database > 0 {
				c.database.do(c.spread(j.database), b.advance)
				return
			}
		default:
			b.phase = 0
			if j.take == nil {
				b.at++
				break
			}
			j.write = j.take()
			j.take = nil
		}
	}
}

func (b *batch) commit() {
	c := b.cell
	c.after(c.trip, func() { c.disk.commit(b.committed) })
}

func (b *batch) committed() {
	if b.dead {
		return
	}
	b.dead = true
	b.unlock()
	b.running = nil
	b.next()
	for _, j := range b.jobs {
		j.done(true)
	}
}

// fail is what a batch comes to that has waited for too long.
func (b *batch) fail() {
	b.dead = true
	b.unlock()
	b.running = nil
	for _, j := range b.jobs {
		j.done(false)
	}
	b.next()
}
