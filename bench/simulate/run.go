package main

import (
	"math"
	"runtime"
	"sort"
	"sync"
	"time"
)

// warmUp is the time before the measurement.
const warmUp = 3 * time.Second

// question configures a simulation of one cell.
type question struct {
	in       inputs
	rate     float64 // starts per second
	shape    shape
	length   time.Duration // duration of the measurement
	accounts []float64     // shares of the load; nil means the skew of the inputs
	brief    bool          // stop once the cell is overloaded
	trouble  func(*cell)   // schedules failures; called when the measurement begins; nil means no failures
}

// answer is the result of a simulation.
type answer struct {
	*cell

	rate       float64 // accepted starts per second
	node, base float64 // processor utilization of the nodes and of PostgreSQL, 0 to 1
}

// ask runs the simulation.
func (q question) ask(seed uint64) answer {
	c := newCell(seed, q.in)
	if q.accounts != nil {
		c.setAccounts(q.accounts)
	}
	c.history(q.rate)
	s := q.shape
	if s.at == nil {
		s = constant()
	}
	later := shape{func(t time.Duration) float64 { return s.at(max(t-warmUp, 0)) }, s.most}
	c.arrivals(q.rate, later, warmUp+q.length)
	c.run(warmUp)
	c.measure()
	c.watch()
	if q.trouble != nil {
		q.trouble(c)
	}
	for at := warmUp; at < warmUp+q.length; at += time.Second {
		c.run(min(at+time.Second, warmUp+q.length))
		if q.brief && c.overloaded() {
			break
		}
	}
	return c.answer(q.length)
}

// overloaded reports whether requests were refused, or the p99 of starts exceeds bearable.
func (c *cell) overloaded() bool {
	return c.refused > 0 || c.start.n == 0 || c.start.quantile(0.99) > bearable
}

// measure starts the measurement by resetting the statistics.
func (c *cell) measure() {
	c.stats = stats{running: c.running, starting: c.starting, checking: c.checking}
	c.usedNode, c.usedBase = 0, c.database.busy
	for _, n := range c.nodes {
		c.usedNode += n.cores.busy
	}
}

func (c *cell) answer(length time.Duration) answer {
	used, processors := -c.usedNode, 0
	for _, n := range c.nodes {
		used += n.cores.busy
		processors += n.cores.all
	}
	return answer{
		cell: c, rate: float64(c.accepted) / length.Seconds(),
		node: used.Seconds() / length.Seconds() / float64(processors),
		base: (c.database.busy - c.usedBase).Seconds() / length.Seconds() / float64(c.database.all),
	}
}

// all answers the questions in parallel, at most GOMAXPROCS at a time. The answers do not
// depend on that number.
func all[Q, A any](questions []Q, ask func(Q) A) []A {
	answers := make([]A, len(questions))
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, q := range questions {
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			answers[i] = ask(q)
		})
	}
	wg.Wait()
	return answers
}

// watch records, every 100 ms, whether a row is overdue by more than a second.
func (c *cell) watch() {
	for c.due.len() > 0 && c.due.items[c.due.first].over {
		c.due.pop()
	}
	if c.due.len() > 0 && c.now-c.due.items[c.due.first].due > time.Second {
		c.lastBehind = c.now
	}
	c.after(100*time.Millisecond, c.watch)
}

// bearable is the highest p99 of starts at which a cell sustains a load.
const bearable = 100 * time.Millisecond

// carries returns the capacity of a cell in starts per second: the highest rate that does not
// overload it. The result is 20 times a power of 1.2; 20 itself is not simulated.
func carries(q question, seed uint64) float64 {
	const least, steps = 20, 33 // up to 6,900
	rate := func(i int) float64 { return math.Round(least * math.Pow(1.2, float64(i))) }
	q.length, q.brief = 4*time.Second, true
	i := sort.Search(steps-1, func(i int) bool {
		q.rate = rate(i + 1)
		return q.ask(seed).overloaded()
	})
	return rate(i)
}
