package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// delivery is a committed event in flight to a carrier.
type delivery struct {
	v     verify.Verification
	event verify.Event
	token int64 // fencing token of the lease under which it is made
}

// step returns the step that the event takes.
func (d delivery) step() verify.Step { return d.v.StepAt(d.event.Seq) }

// flights are the deliveries that this process has not finished. The lease of each is
// renewed, however long it takes.
type flights struct {
	mu     sync.Mutex
	events map[verify.ID]flight
}

type flight struct {
	verification verify.ID
	number       string
	token        int64         // of the lease
	landed       chan struct{} // closed when the outcome is recorded
}

func (f *flights) add(d delivery) (land func()) {
	fl := flight{d.v.ID, d.step().To.Given, d.token, make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events[d.event.ID] = fl
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.events, d.event.ID)
		close(fl.landed)
	}
}

func (f *flights) has(event verify.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.events[event]
	return ok
}

// to lists the flights to a number; "" is any.
func (f *flights) to(number string) []flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []flight
	for _, fl := range f.events {
		if number == "" || fl.number == number {
			list = append(list, fl)
		}
	}
	return list
}

// Delivered waits until the messages that are on their way to a number now (to
// any, if it is "") are with their carriers, or ctx ends. Whoever was answered
// that a verification has started finds its message there afterwards.
func (e *Engine) Delivered(ctx context.Context, number string) {
	for _, fl := range e.flights.to(number) {
		select {
		case <-fl.landed:
		case <-ctx.Done():
			return
		}
	}
}

// defaultSender is shown where the application names none.
const defaultSender = "VERIFY"

// The pause between two tries of what failed for a moment; it doubles each time.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 3 * time.Second
)

// deliver sends the message in the background. The caller has reserved a slot.
func (e *Engine) deliver(d delivery) {
	land := e.flights.add(d)
	e.deliveries.Go(func() {
		defer e.unreserve()
		defer land()
		var tried []string // carriers that may have the message
		sub, err := e.sendFirst(&d)
		for unclear(err) && e.waitCtx.Err() == nil && e.retry(&d) {
			if c, ok := errors.AsType[*deliver.CarrierError](err); ok {
				tried = append(tried, c.Carrier)
			}
			sub, err = e.send(&d, tried)
		}
		if err != nil {
			e.cfg.Log.Warn("message not accepted", "request_id", d.v.ID.Hex(), "event_id", d.event.ID.String(),
				"channel", d.event.Channel, "attempt", d.event.Attempt, "error", err)
		}
		o, ok := e.outcome(d, sub, err)
		if !ok {
			e.handOff(d)
			return
		}
		e.finish(d, o)
	})
}

// outcome returns the outcome of a delivery; ok is false if a stop interrupted it, and the
// next process has to continue it.
func (e *Engine) outcome(d delivery, sub deliver.Submission, err error) (o verify.Outcome, ok bool) {
	o = verify.Outcome{
		Event: d.event.Seq, Attempt: d.event.Attempt, Token: d.token, Failures: d.event.Failures, Carrier: sub.Carrier, Refs: sub.Refs,
	}
	switch {
	case d.v.Workflow.Test:
		o.State = verify.EventDelivered
	case err == nil:
		o.State, o.Cost = verify.EventAccepted, e.cost(d, sub)
	case e.waitCtx.Err() != nil && (unclear(err) || notSent(err)):
		return o, false
	case unclear(err), d.event.Attempt > 1: // nothing is known of the attempt before
		o.State = verify.EventUnknown
	case notSent(err):
		o.State, o.Error = verify.EventExpired, deliver.Code(err)
	default:
		o.State, o.Error = verify.EventRefused, deliver.Code(err)
	}
	return o, true
}

// errMayNotCall is a refusal by the rules against fraud, and not by a carrier.
var errMayNotCall = fmt.Errorf("%w: the rules do not let this number be called", deliver.ErrRefused)

// sendFirst hands the message over for the first time, if that may be.
func (e *Engine) sendFirst(d *delivery) (deliver.Submission, error) {
	if d.event.Channel.Spoken() && !e.cfg.Velocity.MayCall(d.v, d.step().To) {
		return deliver.Submission{}, errMayNotCall
	}
	return e.send(d, nil)
}

// unclear reports whether a message may have gone out though the carrier did not
// say so.
func unclear(err error) bool {
	return err != nil && !notSent(err) && !errors.Is(err, deliver.ErrRefused) && !errors.Is(err, deliver.ErrNoRoute)
}

func notSent(err error) bool { return errors.Is(err, deliver.ErrNotSent) }

// retry counts another attempt before it is made, if the event may have one.
func (e *Engine) retry(d *delivery) bool {
	t, err := e.change(e.sendCtx, store.Scope{Changes: d.v.ID}, "", func(t *transition, v verify.Verification) (verify.Change, bool, error) {
		c, ok := v.Retry(d.event.Seq, d.event.Failures, t.now) // unless another node has made the attempt
		return c, ok, nil
	})
	if err != nil || len(t.changes) == 0 {
		return false
	}
	d.event.Attempt++
	return true
}

// send hands the message over. While no carrier can send it, all are asked again,
// as long as the message is of use. It adds to the event what carriers said that
// did not accept it.
func (e *Engine) send(d *delivery, tried []string) (deliver.Submission, error) {
	if d.v.Workflow.Test {
		return deliver.Submission{}, nil
	}
	var refused []string
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		m := e.compose(*d)
		m.Tried, m.Refused = tried, refused
		sub, err := e.cfg.Router.Send(e.sendCtx, m)
		refused = append(refused, deliver.Refusers(err)...)
		for _, f := range append(sub.Failures, deliver.Failures(err)...) {
			f.Attempt = d.event.Attempt
			d.event.Failures = d.event.Failures.Add(f)
		}
		if !notSent(err) || !e.pause(e.waitCtx, pause) || !e.sendable(*d) {
			return sub, err
		}
	}
}

// sendable reports whether somebody still waits for the message.
func (e *Engine) sendable(d delivery) bool {
	v, ok, err := e.cfg.Store.Verification(e.sendCtx, d.v.ID)
	if err != nil {
		return e.now().Before(d.v.PINExpiresAt) // what is known without the database
	}
	return ok && v.Sendable(d.event, e.now())
}

// Wanted reports whether somebody still waits for a message that is with a carrier:
// a phone that rings for nothing need not ring on. What the database does not tell
// is wanted.
func (e *Engine) Wanted(ctx context.Context, m deliver.Message) bool {
	v, ok, err := e.cfg.Store.Verification(ctx, m.RequestID)
	return err != nil || ok && v.Sendable(verify.Event{Seq: m.Seq}, e.now())
}

// pause waits, and reports false when ctx ends meanwhile.
func (e *Engine) pause(ctx context.Context, d time.Duration) bool {
	timer := e.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// finish records the outcome and releases the lease. A failed write is retried until it
// succeeds or the process stops: an event without an outcome would be sent twice. One to a
// broken row is retried during the life of the PIN.
func (e *Engine) finish(d delivery, o verify.Outcome) {
	ctx, in := context.WithoutCancel(e.sendCtx), store.Scope{Changes: d.v.ID}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		_, err := e.change(ctx, in, "", func(t *transition, v verify.Verification) (verify.Change, bool, error) { return e.record(t, v, o) })
		if err == nil {
			return
		}
		hopeless := errors.Is(err, store.ErrBroken) && !e.now().Before(d.v.PINExpiresAt)
		if hopeless || !e.pause(e.sendCtx, pause) {
			e.cfg.Log.Error("outcome of an event not recorded", "event_id", d.event.ID.String(), "error", err)
			return
		}
	}
}

// record is the rule of an outcome, with the receipts that arrived before it.
func (e *Engine) record(t *transition, v verify.Verification, o verify.Outcome) (c verify.Change, ok bool, err error) {
	if o.Early, err = t.earlyReceipts(o.Carrier, o.Refs...); err != nil {
		return c, false, err
	}
	mayFail := o.State != verify.EventAccepted || len(o.Early) > 0 || o.Attempt > 1
	f, err := e.onFailure(t, v.Account, mayFail)
	return v.Outcome(o, f, t.now), true, err
}

// handOff leaves a delivery that a stop interrupted to another node. If that cannot be
// written, or no other node exists, the end of the lease or the next process takes it over.
func (e *Engine) handOff(d delivery) {
	e.metrics.events.WithLabelValues(string(d.event.Channel), string(verify.EventSubmitting)).Inc()
	if !e.cfg.Store.Shared() {
		return
	}
	ctx, in := context.WithoutCancel(e.sendCtx), store.Scope{Changes: d.v.ID}
	_, err := e.change(ctx, in, "", func(t *transition, v verify.Verification) (verify.Change, bool, error) {
		c, ok := v.HandOff(d.token, t.now)
		if !ok {
			return c, false, nil
		}
		return c, true, t.NotifyHandOff()
	})
	if err != nil {
		e.cfg.Log.Warn("message not handed off", "event_id", d.event.ID.String(), "error", err)
	}
}

// compose writes the message of an event. It runs before each hand-over, since the
// text states the lifetime left to the PIN.
func (e *Engine) compose(d delivery) deliver.Message {
	values := e.cfg.Messages.CarrierValues(e.sendCtx, d.v.Account) // may wait for the database, and then Write does not
	now, step := e.now(), d.step()
	m := deliver.Message{
		EventID: d.event.ID, RequestID: d.v.ID, Account: d.v.Account, Seq: d.event.Seq, Attempt: d.event.Attempt, Channel: d.event.Channel,
		To: step.To, From: cmp.Or(step.From, defaultSender),
		ValidFor: d.v.PINExpiresAt.Sub(now), Values: values,
	}
	in := message.Input{
		Locale: d.v.Locale, Brand: d.v.Brand, Payment: d.v.Payment,
		PIN: d.v.PIN, ValidFor: d.v.StatedLife(d.event, now),
	}
	m.Text, m.Script = e.cfg.Messages.Write(e.sendCtx, d.v.Account, d.event.Channel, in)
	return m
}
