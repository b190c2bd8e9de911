package main

import (
	"math"
	"testing"
	"time"
)

// queue simulates one processor with random arrivals and returns the mean time from arrival
// to completion.
func queue(t *testing.T, busy float64, takes func(*sim) time.Duration) time.Duration {
	t.Helper()
	const service = time.Millisecond
	s := newSim(1)
	c, h := newCores(s, 1), &histogram{}
	var arrive func()
	arrive = func() {
		began := s.now
		c.do(takes(s), func() { h.add(s.now - began) })
		s.after(s.exponential(time.Duration(float64(service)/busy)), arrive)
	}
	arrive()
	s.run(400 * time.Second)
	if want := 400_000 * busy; math.Abs(float64(h.n)-want) > want/50 {
		t.Fatalf("%d arrivals, want %.0f", h.n, want)
	}
	return h.mean()
}

// TestQueues compares mean sojourn times with the formulas of queueing theory.
func TestQueues(t *testing.T) {
	t.Parallel()
	const service = time.Millisecond
	for _, busy := range []float64{0.3, 0.6, 0.8} {
		for name, q := range map[string]struct {
			takes func(*sim) time.Duration
			want  float64 // in service times
		}{
			"M/D/1":  {func(*sim) time.Duration { return service }, 1 + busy/(2*(1-busy))},
			"M/M/1":  {func(s *sim) time.Duration { return s.exponential(service) }, 1 / (1 - busy)},
			"M/E4/1": {func(s *sim) time.Duration { return s.spread(service) }, 1 + busy*(1+0.25)/(2*(1-busy))},
		} {
			got := queue(t, busy, q.takes).Seconds() / service.Seconds()
			if math.Abs(got-q.want) > q.want*0.04 {
				t.Errorf("%s, %.0f %% busy: mean time %.3f service times, want %.3f", name, busy*100, got, q.want)
			}
		}
	}
}

func TestDiskSharesFlushes(t *testing.T) {
	t.Parallel()
	s := newSim(1)
	d := &disk{sim: s, takes: time.Millisecond}
	var done []time.Duration
	for i := range 5 { // the first flushes alone, the others share the next flush
		s.after(time.Duration(i)*100*time.Microsecond, func() { d.commit(func() { done = append(done, s.now) }) })
	}
	s.run(time.Second)
	for i, at := range done {
		if want := time.Duration([]int{1, 2, 2, 2, 2}[i]) * time.Millisecond; at != want {
			t.Errorf("commit %d was durable after %v, want %v", i, at, want)
		}
	}
	if len(done) != 5 {
		t.Errorf("%d commits are durable, want 5", len(done))
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.quantile(q); math.Abs(got.Seconds()-want.Seconds()) > want.Seconds()*0.02 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.max != time.Second || h.mean() != 500500*time.Microsecond {
		t.Errorf("max %v, mean %v", h.max, h.mean())
	}
}

func TestEventsInOrder(t *testing.T) {
	t.Parallel()
	s := newSim(7)
	last, n := time.Duration(0), 0
	for range 10_000 {
		s.after(s.exponential(time.Second), func() {
			if s.now < last {
				t.Errorf("event at %v after an event at %v", s.now, last)
			}
			last = s.now
			n++
		})
	}
	s.run(time.Hour)
	if n != 10_000 || s.now != time.Hour {
		t.Errorf("%d events until %v", n, s.now)
	}
}

func (h *histogram) mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return h.sum / time.Duration(h.n)
}
