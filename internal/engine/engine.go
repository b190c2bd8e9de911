// Package engine implements the use cases: it runs the rules of package verify
// against the store and the carriers, one file for each verb.
//
// Every verb commits its decision before it answers and before a message leaves
// the process. The commit that accepts a verification also acquires its lease for
// this node, so the first message is sent without another query. A [task.Runner]
// takes later steps when their rows fall due. Rows left by a crash fall due again
// when their leases expire.
//
// The package is independent of HTTP and of the texts and status codes of any API.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/account"
	"countersign/internal/deliver"
	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/task"
	"countersign/internal/template"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// Config configures an Engine. All fields are required unless noted otherwise.
type Config struct {
	Store    *store.DB
	Router   *deliver.Router
	Messages *template.Writer
	Clock    clockwork.Clock
	Log      *slog.Logger
	Metrics  prometheus.Registerer

	// Reference returns the best estimate of the true time, for comparison with timestamps of
	// signed requests. Nil means Clock.
	Reference func() time.Time
	// Hold returns an error while this node must not take due steps. It still answers
	// requests, sends first messages and renews its leases. Nil means never.
	Hold func() error

	// Report takes the outcome of due steps: nil after a commit. A nil Report disables that.
	Report func(operation string, err error)

	// Observe takes each change after its commit. It must be quick. Nil disables that.
	Observe func(verify.Change)

	// Policy limits every account of the installation. The zero value is unlimited.
	Policy account.Policy

	// Caps are the limits on one number. Nil means unlimited.
	Caps fraud.Caps

	// Velocity applies the velocity rules. Nil disables them.
	Velocity *velocity.Watch

	// ChargeOnSuccess charges a verification when the right code is submitted, instead of
	// when it is accepted.
	ChargeOnSuccess bool
}

const (
	// maxDeliveries bounds the messages in flight to carriers. Further requests are
	// refused (KindUnavailable) instead of being accepted late.
	maxDeliveries = 4096
	// maxStepBatch bounds the steps taken in one commit.
	maxStepBatch = 128
	// maxIdle bounds a sleep of the runner, since another process may change a row.
	maxIdle = time.Minute
	// maxIdleShared is maxIdle on a shared database, where this node may have to take over
	// rows that other nodes add. It must be shorter than renewEvery.
	maxIdleShared = time.Second
)

// Engine runs verifications. Create it with New, then call Resume.
type Engine struct {
	cfg      Config
	node     string // random, so that no two processes share a name
	rand     io.Reader
	throttle *throttle
	alarms   *alarms
	metrics  *metrics
	runner   *task.Runner

	slots      chan struct{} // one token for each message in flight
	flights    flights
	deliveries sync.WaitGroup
	waitCtx    context.Context // done when Stop begins: no further attempts
	cancelWait context.CancelFunc
	sendCtx    context.Context // done when Stop stops waiting
	cancelSend context.CancelFunc
	renewedAt  time.Time // time of the last lease renewal; used by the runner only
}

// New returns an engine that accepts calls. It takes no due steps before Resume.
func New(cfg Config) *Engine {
	if cfg.Reference == nil {
		cfg.Reference = cfg.Clock.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(string, error) {}
	}
	e := &Engine{
		cfg:      cfg,
		node:     verify.NewID(rand.Reader).String(),
		rand:     rand.Reader,
		throttle: newThrottle(cfg.Clock),
		alarms:   newAlarms(cfg.Clock),
		slots:    make(chan struct{}, maxDeliveries),
		flights:  flights{events: map[verify.ID]flight{}},
	}
	e.metrics = newMetrics(cfg.Metrics, cfg.Caps.Names(), e.slots)
	e.sendCtx, e.cancelSend = context.WithCancel(context.Background())
	e.waitCtx, e.cancelWait = context.WithCancel(e.sendCtx)
	maxSleep := maxIdle
	if cfg.Store.Shared() {
		maxSleep = maxIdleShared
	}
	e.runner = task.New(task.Config{
		Name: "steps", Clock: cfg.Clock, Log: cfg.Log, Run: e.takeSteps, MaxSleep: maxSleep,
	})
	return e
}

// Resume starts to take due steps, including overdue ones.
func (e *Engine) Resume() {
	e.runner.Start()
}

// Wake makes the engine check for due steps now, after another node's hand-off. It may
// be called between Resume and Stop.
func (e *Engine) Wake() { e.runner.Wake(time.Time{}) }

// Stop ends step processing and waits, until ctx is done, for messages already
// submitted to a carrier. Unfinished messages, and messages that wait for an available
// carrier, are resumed by the next process. No other method may be called afterwards.
func (e *Engine) Stop(ctx context.Context) error {
	e.cancelWait()
	e.runner.Stop()
	e.renewedAt = time.Time{}
	e.renewLeases(ctx) // covers the wait below
	finished := make(chan struct{})
	go func() {
		e.deliveries.Wait()
		close(finished)
	}()
	defer e.cancelSend()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		e.cancelSend()
		<-finished
		return ctx.Err()
	}
}

// now returns the time in the precision of the store, so that a stored time reads back
// unchanged.
func (e *Engine) now() time.Time { return e.cfg.Clock.Now().UTC().Truncate(time.Millisecond) }

// reserve acquires a slot for a message. It reports false if no slot is free.
func (e *Engine) reserve() bool {
	select {
	case e.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (e *Engine) unreserve() { <-e.slots }

// write is Store.Write with classified errors.
func (e *Engine) write(ctx context.Context, do func(*store.Tx) error) error {
	return classified(e.cfg.Store.Write(ctx, store.Scope{}, do))
}

// throttled returns the refusal of an account over rate, in requests per second.
func throttled(rate int) error {
	by := verify.Cause{Rule: verify.RuleRate, Count: int64(rate) + 1, Limit: int64(rate)}
	return &verify.Error{Kind: verify.KindThrottled, By: by}
}

// classified converts an overloaded or closed store to KindUnavailable.
func classified(err error) error {
	if errors.Is(err, store.ErrOverloaded) || errors.Is(err, store.ErrClosed) {
		return &verify.Error{Kind: verify.KindUnavailable}
	}
	return err
}
