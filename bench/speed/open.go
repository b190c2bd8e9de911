package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// arrivals are lives of verifications that arrive at a constant rate, independently of earlier
// answers (an open loop). All times count from the due time of a request, so that they include
// the wait for a slow server.
type arrivals struct {
	system *system
	rate   int
	warm   int // initial lives that do not count
	began  time.Time

	lives  []life
	states []atomic.Int32  // by life: a state below
	starts []time.Duration // by life: time from due to the complete answer; 0 if missing
	checks []time.Duration // the same for checks
	behind []time.Duration // delays of starts caused by the load itself
	wrong  atomic.Int64
}

// States of a life.
const (
	unanswered = int32(iota)
	overtaken  // its check was due before its start was answered
	answered   // its start was accepted, so its code can be submitted
	refused
)

// typing is the time between a start and its check. The receipt has usually arrived by then.
const typing = time.Second

func newArrivals(s *system, first, rate, seconds int) *arrivals {
	n := rate * (seconds + 1)
	a := &arrivals{
		system: s, rate: rate, warm: rate, lives: make([]life, n), states: make([]atomic.Int32, n),
		starts: make([]time.Duration, n), checks: make([]time.Duration, n), behind: make([]time.Duration, n),
	}
	for i := range a.lives {
		a.lives[i].index = first + i
	}
	return a
}

// errand is a due request: the start or the check of a life.
type errand struct {
	life  int
	check bool
}

func (a *arrivals) due(e errand) time.Time {
	at := a.began.Add(time.Duration(e.life) * time.Second / time.Duration(a.rate))
	if e.check {
		at = at.Add(typing)
	}
	return at
}

// run makes all requests over the given number of connections. A request waits if no connection is
// free, and its time includes the wait.
func (a *arrivals) run(ctx context.Context, connections int) error {
	spell := time.Duration(len(a.lives))*time.Second/time.Duration(a.rate) + typing
	workers, err := a.system.connect(ctx, connections, time.Now().Add(spell+answerTimeout))
	if err != nil {
		return err
	}
	a.began = time.Now().Add(10 * time.Millisecond)
	queue := make(chan errand, 2*len(a.lives)) // has room for all, so that fill never blocks
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() {
			defer func() { _ = w.Close() }()
			for e := range queue {
				if errs[i] = errors.Join(errs[i], a.do(w, e)); errs[i] != nil {
					return
				}
			}
		})
	}
	a.fill(ctx, queue)
	close(queue)
	wg.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

// fill adds each request to the queue when it is due: a start, and the check of the life that
// began typing earlier.
func (a *arrivals) fill(ctx context.Context, queue chan<- errand) {
	before := int(typing.Seconds() * float64(a.rate))
	for i := 0; i < len(a.lives)+before && ctx.Err() == nil; i++ {
		if wait := time.Until(a.due(errand{life: i})); wait > 0 {
			time.Sleep(wait)
		}
		if i < len(a.lives) {
			queue <- errand{life: i}
		}
		if i >= before {
			queue <- errand{life: i - before, check: true}
		}
	}
}

func (a *arrivals) do(w *worker, e errand) error {
	if e.check {
		// The worker that waits for the answer of the start then makes the check, and the time of the
		// check includes the wait.
		if a.states[e.life].CompareAndSwap(unanswered, overtaken) {
			return nil
		}
		return a.check(w, e)
	}
	due, l := a.due(e), &a.lives[e.life]
	a.behind[e.life] = time.Since(due)
	ok, err := w.ask(a.system.calls["start"], l, due)
	if err != nil {
		return err
	}
	a.starts[e.life] = time.Since(due)
	state := answered
	if !ok {
		a.wrong.Add(1)
		state = refused
	}
	if a.states[e.life].Swap(state) == overtaken {
		e.check = true
		return a.check(w, e)
	}
	return nil
}

// check submits the code of a life with an accepted start.
func (a *arrivals) check(w *worker, e errand) error {
	if a.states[e.life].Load() != answered {
		return nil
	}
	due, again := a.due(e), a.lives[e.life] // a copy, which keeps the time of the answer to its start
	ok, err := w.ask(a.system.calls["check"], &again, due)
	a.checks[e.life] = time.Since(due)
	if !ok {
		a.wrong.Add(1)
	}
	return err
}

// The columns of the open loop.
const (
	colArrivals  = "arrivals"
	colStart     = "start_"    // prefix of p50, p99 and max
	colWire      = "wire_"     // from the answer of a start to submit_sm
	colCheck     = "check_"    //
	colBehind    = "behind_"   // prefix of p99 only
	colLate      = "late"      // lives with a late or missing result
	colDelivered = "delivered" // percentage of SMS with a receipt
)

// smscSettings is the carrier of the open loop: the defaults, but with a larger window, as a
// carrier with this rate of messages would allow.
const smscSettings = `{name: a, type: smpp, smpp: {addresses: [%q], system_id: bench, window: 100}}`

// open measures whole lives at a constant rate: start, SMS to an SMSC, its receipt, check.
func (b *bench) open(ctx context.Context, engine string) (err error) {
	record := filepath.Join(b.dir, "smsc-record")
	smsc, err := startHelper(ctx, roleSMSC, recordVar+"="+record)
	if err != nil {
		return err
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		return smsc.stop()
	}
	defer func() { err = errors.Join(err, stop()) }()
	s, done, err := b.newServer(ctx, engine, fmt.Sprintf(smscSettings, smsc.address))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	sys, err := s.system(engine)
	if err != nil {
		return err
	}
	a := newArrivals(sys, 0, b.rate, max(int(b.spell.Seconds()), 1))
	g := b.gauge(ctx, s, "open")
	res, err := b.measure(sys, g, func() (*run, error) {
		err := a.run(ctx, 2*b.clients)
		r := &run{took: time.Since(a.began), times: append([]time.Duration{}, a.checks...)}
		return r, err
	})
	if err != nil {
		return err
	}
	if err := waitMetric(ctx, s, "countersign_carrier_receipts_total", len(a.lives)); err != nil {
		return err
	}
	if err := errors.Join(s.stop(), stop()); err != nil {
		return err
	}
	p := proof{}
	if err := errors.Join(p.readRecord(record), p.readRows(ctx, s.database)); err != nil {
		return err
	}
	b.log("whole lives at %d/s on %s: start p99 %.1f ms", b.rate, engine, a.result(res, &p)[colStart+"p99"])
	if v := p.judge(sys.numbers, a.lives, b.within, true); v.missing() > 0 || a.wrong.Load() > 0 || p.copies > 0 {
		b.miss("whole lives on %s: %s; %d wrong or missing answers; %d messages sent twice", engine, v, a.wrong.Load(), p.copies)
	}
	b.results.add("open "+engine, res)
	return nil
}

// result adds the measurements of the arrivals to r.
func (a *arrivals) result(r result, p *proof) result {
	var (
		buf             []byte
		wire            []time.Duration
		late, delivered int
	)
	for i := a.warm; i < len(a.lives); i++ {
		buf = a.system.numbers.append(buf[:0], a.lives[i].index)
		number, _ := strconv.ParseUint(string(buf), 10, 64)
		left, sent := p.left[number]
		if sent {
			wire = append(wire, time.Duration(left-a.lives[i].answered))
		}
		if p.delivered[number] {
			delivered++
		}
		if !sent || left-a.lives[i].answered > int64(time.Second) || a.states[i].Load() != answered || a.starts[i] > time.Second || a.checks[i] == 0 || a.checks[i] > time.Second {
			late++
		}
	}
	counted := float64(len(a.lives) - a.warm)
	r[colArrivals], r[colLate], r[colDelivered] = float64(a.rate), float64(late), 100*float64(delivered)/counted
	r.quantiles(colStart, a.starts[a.warm:])
	r.quantiles(colWire, wire)
	r.quantiles(colCheck, a.checks[a.warm:])
	r.quantiles(colBehind, a.behind[a.warm:])
	return r
}
