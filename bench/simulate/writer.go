package main

import (
	"slices"
	"time"
)

// writer is a writer of a node. It commits waiting jobs in batches of up to max
// (internal/store/writer.go).
type writer struct {
	node    *node
	max     int
	queue   fifo[job]
	running *batch
}

// job is one write.
type job struct {
	write

	account int          // account with the locked rows; none if no rows are locked
	take    func() write // for a claim: takes rows and returns the cost; else nil
	done    func(ok bool)
}

const none = -1 // no account

// waiting returns the number of unfinished jobs.
func (w *writer) waiting() int {
	if w.running == nil {
		return w.queue.len()
	}
	return w.queue.len() + len(w.running.jobs)
}

// enqueue queues a job, or refuses it immediately.
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

// next begins the next batch if jobs wait.
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

// drop fails the current batch and all waiting jobs, after a failure of node or database.
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
	accounts []int // accounts to lock, in the fixed lock order
	held     int   // number of acquired locks
	waits    int   // begun and ended waits for a lock; odd while waiting
	dead     bool  // committed or rolled back

	at      int    // index of the current job
	phase   int    // phase of the job: node, round trips, database, rows of a claim
	advance func() // method value of work
}

// begin opens the transaction. Its first query locks the accounts' rows.
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

// lock acquires the locks in order and waits for each lock held by another batch.
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

// locked continues the batch when it acquires the lock that it waited for.
func (b *batch) locked() {
	b.waits++
	b.held++
	b.cell.after(0, b.lock)
}

// unlock releases the locks.
func (b *batch) unlock() {
	for _, a := range b.accounts[:b.held] {
		b.cell.locks[a].release()
	}
	b.held = 0
}

// work runs the jobs sequentially, as a node does: for each its processor time, then its
// round trips, then the database's time.
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

// fail rolls back a batch after a lock timeout.
func (b *batch) fail() {
	b.dead = true
	b.unlock()
	b.running = nil
	for _, j := range b.jobs {
		j.done(false)
	}
	b.next()
}
