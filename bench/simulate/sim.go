package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// sim is a world in virtual time: what happens is a list of functions, each with the
// time at which it is called. Nothing in it waits, and nothing looks at a clock, so the
// same seed always gives the same world.
type sim struct {
	now    time.Duration // since the beginning
	rand   *rand.Rand
	events []event // a heap of four branches, the earliest first
	seq    uint64
}

// event is something that happens at a time. Of two at one time the one that was
// planned first comes first.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

func newSim(seed uint64) *sim { return &sim{rand: rand.New(rand.NewPCG(seed, 0x5ca1e))} } //nolint:gosec // it is to be the same each time

// after plans do for a time from now; what should have happened is done now.
func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	e := event{s.now + max(d, 0), s.seq, do}
	s.events = append(s.events, e)
	i := len(s.events) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(s.events[parent]) {
			break
		}
		s.events[i] = s.events[parent]
		i = parent
	}
	s.events[i] = e
}

func (e event) before(other event) bool {
	return e.at < other.at || e.at == other.at && e.seq < other.seq
}

// run lets happen what happens until a time.
func (s *sim) run(until time.Duration) {
	for len(s.events) > 0 && s.events[0].at <= until {
		e := s.pop()
		s.now = e.at
		e.do()
	}
	s.now = until
}

func (s *sim) pop() event {
	first := s.events[0]
	last := len(s.events) - 1
	e := s.events[last]
	s.events[last] = event{}
	s.events = s.events[:last]
	if last == 0 {
		return first
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= last {
			break
		}
		for c := child + 1; c < min(child+4, last); c++ {
			if s.events[c].before(s.events[child]) {
				child = c
			}
		}
		if !s.events[child].before(e) {
			break
		}
		s.events[i] = s.events[child]
		i = child
	}
	s.events[i] = e
	return first
}

// exponential is a random time, as long as mean on average: the time between arrivals
// that know nothing of each other.
func (s *sim) exponential(mean time.Duration) time.Duration {
	return time.Duration(s.rand.ExpFloat64() * float64(mean))
}

// spread is a random time around mean, for work that mostly takes as long as usual:
// the sum of four exponential ones, whose deviation is half of the mean.
func (s *sim) spread(mean time.Duration) time.Duration {
	u := (1 - s.rand.Float64()) * (1 - s.rand.Float64()) * (1 - s.rand.Float64()) * (1 - s.rand.Float64())
	return time.Duration(-math.Log(u) / 4 * float64(mean))
}

// human is how long somebody takes who has a message to read: half of all less than
// median, one in a hundred five times as long.
func (s *sim) human(median time.Duration) time.Duration {
	return time.Duration(math.Exp(s.rand.NormFloat64()*0.7) * float64(median))
}

// chance is true in that share of all cases.
func (s *sim) chance(share float64) bool { return s.rand.Float64() < share }
