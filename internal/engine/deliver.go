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
	token int64 // fencing token of the lease
}

// step returns the step of the event.
func (d delivery) step() verify.Step { return d.v.StepAt(d.event.Seq) }

// flights are the unfinished deliveries of this process. Their leases are renewed until
// they finish.
type flights struct {
	mu     sync.Mutex
	events map[verify.ID]flight
}

type flight struct {
	verification verify.ID
	number       string
	token        int64         // fencing token of the lease
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

// to lists the flights to a number; "" means every number.
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

// Delivered blocks until all messages now in flight to number ("" for every number) are
// with their carriers, or ctx is done. By then the message of every verification that
// was already acknowledged is with its carrier.
func (e *Engine) Delivered(ctx context.Context, number string) {
	for _, fl := range e.flights.to(number) {
		select {
		case <-fl.landed:
		case <-ctx.Done():
			return
		}
	}
}

// defaultSender is the sender of a message if the application sets no sender.
const defaultSender = "VERIFY"

// Exponential back-off of retries, without jitter.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 3 * time.Second
)

// deliver sends the message in the background. The caller must have reserved a slot.
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

// outcome returns the outcome of a delivery; ok is false if a stop interrupted it and the
// next process must continue it.
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
	case unclear(err), d.event.Attempt > 1: // the earlier attempt is unclear
		o.State = verify.EventUnknown
	case notSent(err):
		o.State, o.Error = verify.EventExpired, deliver.Code(err)
	default:
		o.State, o.Error = verify.EventRefused, deliver.Code(err)
	}
	return o, true
}

// errMayNotCall is a refusal by the fraud rules, not by a carrier.
var errMayNotCall = fmt.Errorf("%w: call refused by fraud rules", deliver.ErrRefused)

// sendFirst makes the first attempt, unless the fraud rules refuse a call.
func (e *Engine) sendFirst(d *delivery) (deliver.Submission, error) {
	if d.event.Channel.Spoken() && !e.cfg.Velocity.MayCall(d.v, d.step().To) {
		return deliver.Submission{}, errMayNotCall
	}
	return e.send(d, nil)
}

// unclear reports whether the message may have been sent although the carrier did not
// accept it.
func unclear(err error) bool {
	return err != nil && !notSent(err) && !errors.Is(err, deliver.ErrRefused) && !errors.Is(err, deliver.ErrNoRoute)
}

func notSent(err error) bool { return errors.Is(err, deliver.ErrNotSent) }

// retry records another attempt before it is made. It reports false if no attempt is allowed.
func (e *Engine) retry(d *delivery) bool {
	t, err := e.change(e.sendCtx, store.Scope{Changes: d.v.ID}, "", func(t *transition, v verify.Verification) (verify.Change, bool, error) {
		c, ok := v.Retry(d.event.Seq, d.event.Failures, t.now) // false if another node made the attempt
		return c, ok, nil
	})
	if err != nil || len(t.changes) == 0 {
		return false
	}
	d.event.Attempt++
	return true
}

// send submits the message. While no carrier can send it, send tries all again, as long as
// the message is sendable. It adds the failure of each carrier to the event.
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

// sendable reports whether the message can still lead to a success.
func (e *Engine) sendable(d delivery) bool {
	v, ok, err := e.cfg.Store.Verification(e.sendCtx, d.v.ID)
	if err != nil {
		return e.now().Before(d.v.PINExpiresAt) // the database cannot be read
	}
	return ok && v.Sendable(d.event, e.now())
}

// Wanted reports whether m is still sendable; if not, a carrier can stop ringing. It
// returns true if the database cannot be read.
func (e *Engine) Wanted(ctx context.Context, m deliver.Message) bool {
	v, ok, err := e.cfg.Store.Verification(ctx, m.RequestID)
	return err != nil || ok && v.Sendable(verify.Event{Seq: m.Seq}, e.now())
}

// pause waits for d. It reports false if ctx ends first.
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

// finish records the outcome and releases the lease. It retries a failed write until it
// succeeds or the process stops, since an event without an outcome would be sent twice. A
// write to a broken row is retried until the PIN expires.
func (e *Engine) finish(d delivery, o verify.Outcome) {
	ctx, in := context.WithoutCancel(e.sendCtx), store.Scope{Changes: d.v.ID}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		_, err := e.change(ctx, in, "", func(t *transition, v verify.Verification) (verify.Change, bool, error) { return e.record(t, v, o) })
		if err == nil {
			return
		}
		hopeless := errors.Is(err, store.ErrBroken) && !e.now().Before(d.v.PINExpiresAt)
		if hopeless || !e.pause(e.sendCtx, pause) {
			e.cfg.Log.Error("cannot record outcome of event", "event_id", d.event.ID.String(), "error", err)
			return
		}
	}
}

// record applies an outcome, with the receipts that arrived before it.
func (e *Engine) record(t *transition, v verify.Verification, o verify.Outcome) (c verify.Change, ok bool, err error) {
	if o.Early, err = t.earlyReceipts(o.Carrier, o.Refs...); err != nil {
		return c, false, err
	}
	mayFail := o.State != verify.EventAccepted || len(o.Early) > 0 || o.Attempt > 1
	f, err := e.onFailure(t, v.Account, mayFail)
	return v.Outcome(o, f, t.now), true, err
}

// handOff releases an interrupted delivery to another node. If the write fails, or no other
// node exists, the delivery is resumed when the lease expires or the next process starts.
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
		e.cfg.Log.Warn("cannot hand off message", "event_id", d.event.ID.String(), "error", err)
	}
}

// compose returns the message of an event. It runs before each submission, since the
// text states the remaining lifetime of the PIN.
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
