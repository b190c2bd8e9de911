package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// system is the target of a load: this server, a peer, or a limit.
type system struct {
	name    string
	address string
	calls   map[string]*call // start, and check and search if the system has them
	numbers numbers
}

// run has the measurements of one load.
type run struct {
	times []time.Duration // times of right answers
	took  time.Duration
	lives []life // started verifications
	wrong int
	first string // first wrong answer
}

func (r *run) add(o *run) {
	r.times, r.lives = append(r.times, o.times...), append(r.lives, o.lives...)
	r.wrong += o.wrong
	if r.first == "" {
		r.first = o.first
	}
}

// perSecond returns the rate of right answers.
func (r *run) perSecond() float64 { return float64(len(r.times)) / r.took.Seconds() }

func (r *run) fail(body []byte) {
	r.wrong++
	if r.first == "" {
		r.first = string(body)
	}
}

// answerTimeout is the time after the end of a load in which answers may arrive.
const answerTimeout = 30 * time.Second

// worker is one connection, which makes one request at a time.
type worker struct {
	*conn
	run
	system *system
}

// ask makes one call for a verification, measures its time since from, and reports whether the
// answer was right.
func (w *worker) ask(what *call, l *life, from time.Time) (bool, error) {
	ok, body, err := w.do(what, w.system.numbers, l)
	if err != nil {
		return false, err
	}
	now := time.Now()
	if !ok {
		w.fail(body)
		return false, nil
	}
	l.answered = now.UnixNano()
	w.times = append(w.times, now.Sub(from))
	return true, nil
}

// closed makes one request at a time on each connection (a closed loop), until the time is over or
// next has no more work.
func (s *system) closed(ctx context.Context, connections int, spell time.Duration, next func(*worker) (more bool, err error)) (*run, error) {
	began := time.Now()
	until := began.Add(spell)
	workers, err := s.connect(ctx, connections, until.Add(answerTimeout))
	if err != nil {
		return nil, err
	}
	began, until = time.Now(), time.Now().Add(spell)
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() {
			for more := true; more && errs[i] == nil && time.Now().Before(until) && ctx.Err() == nil; {
				more, errs[i] = next(w)
			}
		})
	}
	wg.Wait()
	r := collect(workers, time.Since(began))
	return r, errors.Join(errors.Join(errs...), ctx.Err())
}

func (s *system) connect(ctx context.Context, connections int, until time.Time) ([]*worker, error) {
	workers := make([]*worker, connections)
	for i := range workers {
		c, err := dial(ctx, s.address, until)
		if err != nil {
			for _, w := range workers[:i] {
				_ = w.Close()
			}
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		workers[i] = &worker{conn: c, system: s}
	}
	return workers, nil
}

// collect closes the connections and merges their measurements.
func collect(workers []*worker, took time.Duration) *run {
	r := &run{took: took}
	for _, w := range workers {
		_ = w.Close()
		r.add(&w.run)
	}
	return r
}

// starts starts verifications, with the numbers from *next on.
func (s *system) starts(next *atomic.Int64) func(*worker) (bool, error) {
	return func(w *worker) (bool, error) {
		l := life{index: int(next.Add(1)) - 1}
		ok, err := w.ask(s.calls["start"], &l, time.Now())
		if ok {
			w.lives = append(w.lives, l)
		}
		return true, err
	}
}

// checks submits the right code of each verification, once.
func (s *system) checks(lives []life) func(*worker) (bool, error) {
	var next atomic.Int64
	return func(w *worker) (bool, error) {
		i := next.Add(1) - 1
		if i >= int64(len(lives)) {
			return false, nil
		}
		l := lives[i]
		_, err := w.ask(s.calls["check"], &l, time.Now())
		return true, err
	}
}

// searches searches for the verifications repeatedly.
func (s *system) searches(lives []life) func(*worker) (bool, error) {
	var next atomic.Int64
	return func(w *worker) (bool, error) {
		l := lives[(next.Add(1)-1)*7919%int64(len(lives))]
		_, err := w.ask(s.calls["search"], &l, time.Now())
		return true, err
	}
}

// whole starts a verification, and submits its code as soon as the start is accepted. It counts
// and measures both calls as one.
func (s *system) whole(next *atomic.Int64) func(*worker) (bool, error) {
	return func(w *worker) (bool, error) {
		l := life{index: int(next.Add(1)) - 1}
		began, n := time.Now(), len(w.times)
		ok, err := w.ask(s.calls["start"], &l, began)
		w.times = w.times[:n] // counts only the whole life
		if !ok || err != nil {
			return true, err
		}
		w.lives = append(w.lives, l)
		_, err = w.ask(s.calls["check"], &l, began)
		return true, err
	}
}
