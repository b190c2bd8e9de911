package main

import "time"

// cores are processors with one FIFO queue.
type cores struct {
	sim     *sim
	all     int
	free    int
	waiting fifo[work]
	busy    time.Duration // sum over all cores
}

type work struct {
	takes time.Duration
	then  func()
}

func newCores(s *sim, n int) *cores { return &cores{sim: s, all: n, free: n} }

// do occupies a core for a time and then calls then.
func (c *cores) do(takes time.Duration, then func()) {
	if c.free == 0 {
		c.waiting.push(work{takes, then})
		return
	}
	c.free--
	c.begin(work{takes, then})
}

func (c *cores) begin(w work) {
	c.busy += w.takes
	c.sim.after(w.takes, func() {
		w.then()
		if c.waiting.len() > 0 {
			c.begin(c.waiting.pop())
		} else {
			c.free++
		}
	})
}

// disk makes transactions durable. Commits during a flush wait and share the next flush
// (group commit).
type disk struct {
	sim     *sim
	takes   time.Duration
	flying  bool
	waiting []func()
}

func (d *disk) commit(then func()) {
	d.waiting = append(d.waiting, then)
	if !d.flying {
		d.flush()
	}
}

func (d *disk) flush() {
	d.flying = true
	done := d.waiting
	d.waiting = nil
	d.sim.after(d.takes, func() {
		for _, then := range done {
			then()
		}
		if d.flying = len(d.waiting) > 0; d.flying {
			d.flush()
		}
	})
}

// lock is the FIFO lock of an account's rows: balance and rate.
type lock struct {
	held    *batch
	waiting []*batch
}

// acquire takes the lock. If it is held, acquire returns false and release later calls b.locked.
func (l *lock) acquire(b *batch) bool {
	if l.held != nil {
		l.waiting = append(l.waiting, b)
		return false
	}
	l.held = b
	return true
}

// release passes the lock to the next waiting batch that is not dead.
func (l *lock) release() {
	l.held = nil
	for len(l.waiting) > 0 && l.held == nil {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		if !next.dead {
			l.held = next
			next.locked()
		}
	}
}

// fifo is a queue.
type fifo[T any] struct {
	items []T
	first int
}

func (f *fifo[T]) len() int { return len(f.items) - f.first }

func (f *fifo[T]) push(item T) { f.items = append(f.items, item) }

// pop removes the oldest item. It compacts the slice when half is unused.
func (f *fifo[T]) pop() T {
	var none T
	item := f.items[f.first]
	f.items[f.first] = none
	f.first++
	if f.first > 64 && f.first*2 > len(f.items) {
		n := copy(f.items, f.items[f.first:])
		clear(f.items[n:])
		f.items, f.first = f.items[:n], 0
	}
	return item
}
