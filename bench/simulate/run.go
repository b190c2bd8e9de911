package main

import (
	"math"
	"runtime"
	"sort"
	"sync"
	"time"
)

// warmUp is how long a cell runs before anything is measured.
const warmUp = 3 * time.Second

// question is one simulation of one cell.
type question struct {
	in       inputs
	rate     float64 // starts a second
	shape    shape
	length   time.Duration // of what is measured
	accounts []float64     // shares of the load; nil for those of the inputs
	brief    bool          // it ends when a cell cannot carry the load
	trouble  func(*cell)   // plans what goes wrong, from the beginning of what is measured; nil for nothing
}

// answer is what came of it.
type answer struct {
	*cell

	rate       float64 // starts accepted a second
	node, base float64 // share of the processors that was used, of nodes and of PostgreSQL
}

// ask simulates.
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

// overloaded reports whether requests have waited for too long already, or were refused.
func (c *cell) overloaded() bool {
	return c.refused > 0 || c.start.n == 0 || c.start.quantile(0.99) > bearable
}

// measure begins to measure: what was before does not count.
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

// all asks many questions, on as many processors as there are. The answers do not
// depend on how many.
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

// watch notes when rows are overdue.
func (c *cell) watch() {
	for c.due.len() > 0 && c.due.items[c.due.first].over {
		c.due.pop()
	}
	if c.due.len() > 0 && c.now-c.due.items[c.due.first].due > time.Second {
		c.lastBehind = c.now
	}
	c.after(100*time.Millisecond, c.watch)
}

// bearable is how long the slowest starts but one in a hundred may take, for a cell to
// be said to carry a load.
const bearable = 100 * time.Millisecond

// carries is how many starts a second a cell carries: p99 is bearable, and nothing is
// refused. It is one of a row of numbers, each a fifth more than the one before; the
// least, 20, is not tried.
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
