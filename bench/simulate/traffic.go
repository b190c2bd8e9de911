package main

import (
	"math"
	"sort"
	"time"
)

// zipf returns the Zipf-distributed shares of n accounts, largest first.
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

// account returns a random account, weighted by load.
func (c *cell) account() int {
	return min(sort.SearchFloat64s(c.accounts, c.rand.Float64()), len(c.accounts)-1)
}

// shape describes a variable load: the factor of the rate at a time, and its maximum.
type shape struct {
	at   func(time.Duration) float64
	most float64
}

// constant returns a constant load; arrivals are still random (Poisson).
func constant() shape { return shape{func(time.Duration) float64 { return 1 }, 1} }

// day returns the load of a day compressed to length: the full rate in the middle, a fifth at
// the start and at the end.
func day(length time.Duration) shape {
	return shape{func(t time.Duration) float64 {
		return 0.6 - 0.4*math.Cos(2*math.Pi*t.Seconds()/length.Seconds())
	}, 1}
}

// burst returns a load that is multiplied for a period.
func burst(begin, length time.Duration, times float64) shape {
	return shape{func(t time.Duration) float64 {
		if t >= begin && t < begin+length {
			return times
		}
		return 1
	}, times}
}

// arrivals schedules starts in an open loop until a time.
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

// clients start verifications in a closed loop: each starts the next after its answer.
func (c *cell) clients(n int) {
	var next func(bool)
	next = func(bool) { c.arrive(c.account(), 0, next) }
	for range n {
		next(true)
	}
}

// checkers check codes in a closed loop.
func (c *cell) checkers(n int) {
	for range n {
		c.checkAgain()
	}
}

func (c *cell) checkAgain() {
	c.running++
	c.checkCode(&life{account: c.account(), then: c.checkAgain}, 0)
}

// history fills the cell with verifications from earlier load that wait for their codes and
// steps.
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
			continue // ended
		}
		l := &life{account: c.account(), events: events, due: due}
		c.running++
		c.plan(l)
		if typed != never {
			c.after(typed, func() { c.checkCode(l, 0) })
		}
	}
}

// never is the time of a code that is not submitted.
const never = time.Duration(math.MinInt64)

// typedAt returns a random time for the check of a code sent at a time, or never.
func (c *cell) typedAt(sent time.Duration, share string) time.Duration {
	if !c.chance(c.in.value(share)) {
		return never
	}
	return sent + c.human(c.in.time("typing"))
}
