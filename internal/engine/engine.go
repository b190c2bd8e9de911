// Package engine carries out the use cases: it joins the rules of package verify
// with the store and the carriers, one file for each verb.
//
// Every verb commits what was decided before anything leaves the process, and
// answers only for what is committed. An accepted verification is claimed by
// this node in the commit that accepts it, so its first message goes out at once
// without another look at the database; later steps are taken by a [task.Runner]
// when their rows fall due. What a crash leaves behind falls due again when the
// claim's lease ends (design.md §4).
//
// The package must not know HTTP, nor the words and numbers of any API.
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

// Config is what an Engine works with. All fields are needed unless they say
// otherwise.
type Config struct {
	Store    *store.DB
	Router   *deliver.Router
	Messages *template.Writer
	Clock    clockwork.Clock
	Log      *slog.Logger
	Metrics  prometheus.Registerer

	// Reference returns the best estimate of the true time, with which the timestamps of
	// signed requests are compared. Nil means Clock.
	Reference func() time.Time
	// Hold returns an error while this node must take no due steps. It still answers
	// requests, sends first messages and renews its leases. Nil means never.
	Hold func() error

	// Report takes the outcome of due steps: nil after a commit. A nil Report disables that.
	Report func(operation string, err error)

	// Observe takes each change after its commit. It must be quick. Nil disables that.
	Observe func(verify.Change)

	// Policy has the limits of the installation on every account. The zero value has none.
	Policy account.Policy

	// Caps are the limits on one number. Without any there are none.
	Caps fraud.Caps

	// Velocity are the rules that watch how the installation is used; nil for none.
	Velocity *velocity.Watch

	// ChargeOnSuccess takes the price of a verification when its right code came, and
	// not when it was accepted.
	ChargeOnSuccess bool
}

const (
	// maxDeliveries bounds the messages on their way to carriers. More work is
	// refused (KindUnavailable) instead of being accepted late.
	maxDeliveries = 4096
	// maxStepBatch bounds the steps taken in one commit.
	maxStepBatch = 128
	// maxIdle bounds a sleep of the runner, in case another process changed a row.
	maxIdle = time.Minute
	// maxIdleShared is maxIdle where other nodes add rows all the time, which any
	// node must be able to take over. It is shorter than renewEvery, too.
	maxIdleShared = time.Second
)

// Engine runs verifications. Make one with New, then let it Resume.
type Engine struct {
	cfg      Config
	node     string // random, so that no two processes share a name
	rand     io.Reader
	throttle *throttle
	alarms   *alarms
	metrics  *metrics
	runner   *task.Runner

	slots      chan struct{} // one token for each message on its way
	flights    flights
	deliveries sync.WaitGroup
	waitCtx    context.Context // ends when Stop begins: nothing new is tried
	cancelWait context.CancelFunc
	sendCtx    context.Context // ends when Stop gives up waiting
	cancelSend context.CancelFunc
	renewedAt  time.Time // the leases of this node; of the runner
}

// New returns an engine that accepts calls. Due steps are taken from Resume on.
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

// Resume begins to take due steps, first those that fell due while nobody ran.
func (e *Engine) Resume() {
	e.runner.Start()
}

// Wake has the engine look for due steps now: another node has handed something over.
// It may be called between Resume and Stop.
func (e *Engine) Wake() { e.runner.Wake(time.Time{}) }

// Stop takes no more steps and waits for the messages that are with a carrier,
// until ctx ends. What is not finished then, and what only waits for a carrier
// that can send it, goes on where the next process finds it. No verb may be called
// any more.
func (e *Engine) Stop(ctx context.Context) error {
	e.cancelWait()
	e.runner.Stop()
	e.renewedAt = time.Time{}
	e.renewLeases(ctx) // once more, for the time of the wait
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

// now is the time in the precision that the store keeps, so that a value reads
// back as it was decided on.
func (e *Engine) now() time.Time { return e.cfg.Clock.Now().UTC().Truncate(time.Millisecond) }

// reserve takes a slot for a message, or reports that there is none.
func (e *Engine) reserve() bool {
	select {
	case e.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (e *Engine) unreserve() { <-e.slots }

// write is Store.Write with overload classified.
func (e *Engine) write(ctx context.Context, do func(*store.Tx) error) error {
	return classified(e.cfg.Store.Write(ctx, store.Scope{}, do))
}

// throttled is the refusal of an account with a rate in requests per second.
func throttled(rate int) error {
	by := verify.Cause{Rule: verify.RuleRate, Count: int64(rate) + 1, Limit: int64(rate)}
	return &verify.Error{Kind: verify.KindThrottled, By: by}
}

func classified(err error) error {
	if errors.Is(err, store.ErrOverloaded) || errors.Is(err, store.ErrClosed) {
		return &verify.Error{Kind: verify.KindUnavailable}
	}
	return err
}
