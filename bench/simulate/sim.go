package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// sim is a discrete-event simulation in virtual time. An event is a function with the time
// of its call. Events do not block and do not read a clock, so the same seed always yields
// the same result.
type sim struct {
	now    time.Duration // virtual time since the start
	rand   *rand.Rand
	events []event // 4-ary heap, earliest first
	seq    uint64
}

// event is a scheduled call. Events with equal times are called in the order of their
// scheduling.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

func newSim(seed uint64) *sim { return &sim{rand: rand.New(rand.NewPCG(seed, 0x5ca1e))} } //nolint:gosec // must be reproducible

// after schedules do after d; a negative d means now.
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

// run processes the events up to a time.
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

// exponential returns an exponentially distributed time: the interval between independent
// arrivals.
func (s *sim) exponential(mean time.Duration) time.Duration {
	return time.Duration(s.rand.ExpFloat64() * float64(mean))
}

// spread returns an Erlang-4 distributed time, with a standard deviation of half the mean:
// the duration of work that varies moderately.
func (s *sim) spread(mean time.Duration) time.Duration {
	u := (1 - s.rand.Float64()) * (1 - s.rand.Float64()) * (1 - s.rand.Float64()) * (1 - s.rand.Float64())
	return time.Duration(-math.Log(u) / 4 * float64(mean))
}

// human returns the log-normally distributed time in which a person reacts to a message. One
// in a hundred takes five times the median.
func (s *sim) human(median time.Duration) time.Duration {
	return time.Duration(math.Exp(s.rand.NormFloat64()*0.7) * float64(median))
}

// chance returns true with the given probability.
func (s *sim) chance(share float64) bool { return s.rand.Float64() < share }
