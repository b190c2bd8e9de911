package main

import (
	"math"
	"sort"
	"time"
)

// zipf are the shares of accounts, the largest first.
func zipf(n int, skew float64) []float64 {
	shares := make([]float64, n)
	sum := 0.0
	for i := range shares {
		shares[i] = math.Pow(float64(i+1), -skew)
		sum += shares[i]
	}
	for i := range shares {
		shares[i] /= sum
	}
	return shares
}

// account is that of the next request.
func (c *cell) account() int {
	return min(sort.SearchFloat64s(c.accounts, c.rand.Float64()), len(c.accounts)-1)
}

// shape is how the load varies: what the rate is multiplied by at a time, and the most
// that can be.
type shape struct {
	at   func(time.Duration) float64
	most float64
}

// constant is a load that does not vary, but for chance (Poisson).
func constant() shape { return shape{func(time.Duration) float64 { return 1 }, 1} }

// day is a day in a time: the rate is that of the busiest hour in the middle, and a
// fifth of it at night.
func day(length time.Duration) shape {
	return shape{func(t time.Duration) float64 {
		return 0.6 - 0.4*math.Cos(2*math.Pi*t.Seconds()/length.Seconds())
	}, 1}
}

// burst is a load that is a multiple of itself for a while.
func burst(begin, length time.Duration, times float64) shape {
	return shape{func(t time.Duration) float64 {
		if t >= begin && t < begin+length {
			return times
		}
		return 1
	}, times}
}

// arrivals has starts come at a rate, whatever the answers, until a time.
func (c *cell) arrivals(rate float64, s shape, until time.Duration) {
	mean := time.Duration(float64(time.Second) / (rate * s.most))
	var next func()
	next = func() {
		if c.now >= until {
			return
		}
		if c.chance(s.at(c.now) / s.most) {
			c.arrive(c.account(), 0, nil)
		}
		c.after(c.exponential(mean), next)
	}
	c.after(c.exponential(mean), next)
}

// clients start verifications, each the next one as soon as it has its answer.
func (c *cell) clients(n int) {
	var next func(bool)
	next = func(bool) { c.arrive(c.account(), 0, next) }
	for range n {
		next(true)
	}
}

// checkers check codes, each the next one as soon as it has its answer.
func (c *cell) checkers(n int) {
	for range n {
		c.checkAgain()
	}
}

func (c *cell) checkAgain() {
	c.running++
	c.checkCode(&life{account: c.account(), then: c.checkAgain}, 0)
}

// history fills the cell with what a load has left behind that came before the
// beginning: verifications that wait for their codes and their steps.
func (c *cell) history(rate float64) {
	mean := float64(time.Second) / rate
	oldest := -(wait(1) + wait(2) + wait(3))
	for at := oldest; at < 0; at += time.Duration(c.rand.ExpFloat64() * mean) {
		events, due := 1, at+wait(1)
		typed := c.typedAt(at, "typed")
		for due < 0 && typed == never && events < lastEvent {
			typed = c.typedAt(due, "typed.later")
			events++
			due += wait(events)
		}
		if due < 0 || typed < 0 && typed != never {
			continue // it is over
		}
		l := &life{account: c.account(), events: events, due: due}
		c.running++
		c.plan(l)
		if typed != never {
			c.after(typed, func() { c.checkCode(l, 0) })
		}
	}
}

// never is when a code is typed that is not.
const never = time.Duration(math.MinInt64)

// typedAt is when somebody types the code of a message that was sent at a time.
func (c *cell) typedAt(sent time.Duration, share string) time.Duration {
	if !c.chance(c.in.value(share)) {
		return never
	}
	return sent + c.human(c.in.time("typing"))
}
