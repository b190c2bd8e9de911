package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// An operation fails if at least minFailures and at least half of its last outcomes
	// failed. Outcomes older than outcomeLife do not count.
	outcomes    = 10
	minFailures = 3
	outcomeLife = 5 * time.Minute

	// A failed operation is retried after a pause, which doubles each time the retry fails.
	firstPause = 2 * time.Second
	lastPause  = time.Minute

	verifyEvery = time.Minute // for a damaged database
	probeTime   = 2 * time.Second
)

// ReadinessConfig configures a Readiness. All fields are required.
type ReadinessConfig struct {
	Draining func() bool
	// Probe reads from and writes to the database. It must end even if its context does not.
	Probe func(context.Context) error
	// Verify examines the whole database. It may take minutes.
	Verify func(context.Context) error
	// Damage reports whether an error means damage, which lasts until Verify succeeds.
	Damage func(error) bool

	Clock   clockwork.Clock
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Readiness decides whether a server should receive traffic, by a probe of the database
// and by the outcomes of operations. The probe is not sufficient: with a damaged page, or
// a disk with little space left, it can succeed while requests fail.
type Readiness struct {
	cfg   ReadinessConfig
	gauge prometheus.Gauge

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu         sync.Mutex
	operations map[string]*operation
	probing    *probing // running probe, or nil
	notReady   error    // result of the last evaluation
	since      time.Time

	damage    error     // first error that means damage, or the result of Verify; nil if undamaged
	damagedAt time.Time // time of the latest such error
	verifying bool
	verified  time.Time // end of the last Verify
}

type probing struct {
	began time.Time
	done  chan struct{} // closed once err is set
	err   error
}

// operation contains the recent outcomes of one kind of request.
type operation struct {
	recent []outcome // latest last
	failed error     // last failure while the server is not ready; nil otherwise
	pause  time.Duration
	trial  bool // traffic has resumed, and the first outcome decides
}

type outcome struct {
	at     time.Time
	failed bool
}

// NewReadiness returns a Readiness that is ready. The caller must call Stop.
func NewReadiness(cfg ReadinessConfig) *Readiness {
	r := &Readiness{cfg: cfg, operations: map[string]*operation{}, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "countersign_ready", Help: "1 if the server is ready for traffic (/readyz), otherwise 0.",
	})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.gauge.Set(1)
	cfg.Metrics.MustRegister(r.gauge)
	return r
}

// Stop cancels a running probe and examination and waits for them.
func (r *Readiness) Stop() {
	r.cancel()
	r.work.Wait()
}

// Report adds the outcome of an operation, such as "start": nil if the database worked,
// even if the request was refused for a reason read from it.
func (r *Readiness) Report(name string, err error) {
	if errors.Is(err, context.Canceled) {
		return // the client disconnected
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.operations[name]
	if o == nil {
		o = &operation{}
		r.operations[name] = o
	}
	now := r.cfg.Clock.Now()
	bad := o.add(now, err)
	switch {
	case err != nil && (o.failed != nil || bad || o.trial):
		if o.failed == nil {
			o.pause = min(max(2*o.pause, firstPause), lastPause)
		}
		o.failed, o.trial = fmt.Errorf("%s fails: %w", name, err), false
		if r.cfg.Damage(err) {
			r.damaged(now, err)
		}
		r.set(now, o.failed)
	case err == nil && !bad:
		o.failed, o.trial, o.pause = nil, false, 0
	}
}

// add appends an outcome and reports whether the recent outcomes mean a failure.
func (o *operation) add(now time.Time, err error) (bad bool) {
	o.recent = append(o.recent, outcome{now, err != nil})
	for len(o.recent) > outcomes || now.Sub(o.recent[0].at) > outcomeLife {
		o.recent = o.recent[1:]
	}
	failures := 0
	for _, past := range o.recent {
		if past.failed {
			failures++
		}
	}
	return failures >= minFailures && 2*failures >= len(o.recent)
}

// Suspect starts an examination of the database. If it finds damage, the server is not
// ready.
func (r *Readiness) Suspect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verify()
}

// Ready returns nil if the server should receive traffic, otherwise the reason.
func (r *Readiness) Ready(ctx context.Context) error {
	if r.cfg.Draining() {
		err := errors.New("stopping")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.set(r.cfg.Clock.Now(), err)
		return err
	}
	err := r.probe(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Now()
	if err != nil && r.cfg.Damage(err) {
		r.damaged(now, err)
	}
	if r.damage != nil {
		if now.Sub(r.verified) >= verifyEvery || r.damagedAt.After(r.verified) {
			r.verify()
		}
		err = fmt.Errorf("the database is damaged: %w; stop the server and restore a backup", r.damage)
	}
	for _, o := range r.operations {
		if err == nil && o.failed != nil {
			err = o.retry(now)
		}
	}
	r.set(now, err)
	return err
}

// retry resumes traffic after the pause since the last failure.
func (o *operation) retry(now time.Time) error {
	if last := o.recent[len(o.recent)-1].at; now.Sub(last) < o.pause {
		return o.failed
	}
	o.recent, o.failed, o.trial = nil, nil, true
	return nil
}

// probe runs a probe or waits for the running one, so that hanging probes do not use up
// the connections.
func (r *Readiness) probe(ctx context.Context) error {
	errSlow := errors.New("the database does not respond in time")
	r.mu.Lock()
	p := r.probing
	switch {
	case r.ctx.Err() != nil:
		r.mu.Unlock()
		return errors.New("stopped")
	case p != nil && r.cfg.Clock.Since(p.began) > probeTime:
		r.mu.Unlock()
		return errSlow
	case p == nil:
		p = &probing{began: r.cfg.Clock.Now(), done: make(chan struct{})}
		r.probing = p
		r.work.Go(func() {
			p.err = r.cfg.Probe(r.ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.probing = nil
			close(p.done)
		})
	}
	r.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return errSlow
	}
}

// damaged records a sign of damage.
func (r *Readiness) damaged(now time.Time, err error) {
	r.damage, r.damagedAt = cmp.Or(r.damage, err), now
}

// verify examines the database in the background.
func (r *Readiness) verify() {
	if r.verifying || r.ctx.Err() != nil {
		return
	}
	r.verifying = true
	began := r.cfg.Clock.Now()
	r.work.Go(func() {
		err := r.cfg.Verify(r.ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.verifying = false; r.ctx.Err() != nil {
			return
		}
		r.verified = r.cfg.Clock.Now()
		switch {
		case err != nil:
			r.damage = err
			r.set(r.verified, fmt.Errorf("the database is damaged: %w", err))
		case !r.damagedAt.After(began):
			r.damage = nil
		}
	})
}

// set stores the result of an evaluation and logs changes.
func (r *Readiness) set(now time.Time, err error) {
	switch {
	case err != nil && r.notReady == nil:
		r.cfg.Log.Warn("not ready", "reason", err)
		r.since = now
		r.gauge.Set(0)
	case err == nil && r.notReady != nil:
		r.cfg.Log.Info("ready again", "after", now.Sub(r.since).Round(time.Millisecond).String(), "reason", r.notReady)
		r.gauge.Set(1)
	}
	r.notReady = err
}

// Watch calls each every second until ctx is done. While the server is not ready or each fails,
// it evaluates the readiness, so that the state does not depend on requests to /readyz.
func (r *Readiness) Watch(ctx context.Context, each func(context.Context) error) {
	// A timer is used, since a ticker of a fake clock fires for every second of a long advance.
	timer := r.cfg.Clock.NewTimer(time.Second)
	defer timer.Stop()
	for ; ; timer.Reset(time.Second) {
		select {
		case <-ctx.Done():
			return
		case <-timer.Chan():
		}
		err := each(ctx)
		r.mu.Lock()
		look := err != nil || r.notReady != nil
		r.mu.Unlock()
		if look {
			limited, cancel := context.WithTimeout(ctx, probeTime)
			_ = r.Ready(limited) // logged
			cancel()
		}
	}
}
