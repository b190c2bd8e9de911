package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// delivery is a committed event on its way to a carrier.
type delivery struct {
	v     verify.Verification
	event verify.Event
	fence int64 // of the claim under which it is made
}

// flights are the deliveries that this process has not finished. While one is
// among them its claim holds, however long it takes.
type flights struct {
	mu     sync.Mutex
	events map[verify.ID]flight
}

type flight struct {
	verification verify.ID
	number       string
	fence        int64         // of the claim
	landed       chan struct{} // closed when the outcome is recorded
}

func (f *flights) add(d delivery) (land func()) {
	fl := flight{d.v.ID, d.v.Number, d.fence, make(chan struct{})}
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
		for unclear(err) && e.waitCtx.Err() == nil && e.again(&d) {
			if c, ok := errors.AsType[*deliver.CarrierError](err); ok {
				tried = append(tried, c.Carrier)
			}
			sub, err = e.send(&d, tried)
		}
		switch {
		case d.v.Workflow.Test:
			d.event.State = verify.EventDelivered
		case err == nil:
			d.event.State, d.event.Carrier = verify.EventAccepted, sub.Carrier
			if d.event.Channel == verify.SMS {
				e.cfg.Velocity.Sent(d.v)
			}
			d.event.Cost = e.cost(d.v, d.event.Channel, sub)
		case e.waitCtx.Err() != nil && (unclear(err) || notSent(err)):
			// Broken off by a stop, and left for the next process.
		case unclear(err), d.event.Attempt > 1: // of the attempt before nothing is known
			d.event.State = verify.EventUnknown
		case notSent(err):
			d.event.State, d.event.Error = verify.EventExpired, deliver.Code(err)
		default:
			d.event.State, d.event.Error = verify.EventRefused, deliver.Code(err)
		}
		e.metrics.events.WithLabelValues(string(d.event.Channel), string(d.event.State)).Inc()
		if err != nil {
			e.cfg.Log.Warn("message not accepted", "request_id", d.v.ID.Hex(), "event_id", d.event.ID.String(),
				"channel", d.event.Channel, "attempt", d.event.Attempt, "error", err)
		}
		if d.event.State != verify.EventSubmitting {
			e.finish(d, sub)
		} else {
			e.handOver(d)
		}
	})
}

// errMayNotCall is a refusal by the rules against fraud, and not by a carrier.
var errMayNotCall = fmt.Errorf("%w: the rules do not let this number be called", deliver.ErrRefused)

// sendFirst hands the message over for the first time, if that may be.
func (e *Engine) sendFirst(d *delivery) (deliver.Submission, error) {
	if d.event.Channel == verify.TTS && !e.cfg.Velocity.MayCall(d.v) {
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

// again counts another attempt, if the event may have one, before it is made.
func (e *Engine) again(d *delivery) bool {
	ok := false
	err := e.writeIn(e.sendCtx, store.Scope{Changes: d.v.ID}, func(tx *store.Tx) error {
		ok = false
		event, found, err := tx.Event(d.event.Key())
		if err != nil || !found { // as it is stored: another node may have made it
			return err
		}
		row, found, err := tx.Find(d.v.ID)
		if err != nil || !found || !row.Resend(event, e.now()) {
			return err
		}
		ok = true
		event.Attempt++
		event.Failures = d.event.Failures
		return tx.SaveEvent(event)
	})
	if err != nil || !ok {
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

// finish records the outcome and gives the claim back. When the database does
// not take it, it is tried again until it does or the process stops: an event
// without an outcome would be sent twice.
func (e *Engine) finish(d delivery, sub deliver.Submission) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		now := e.now()
		var hastened bool
		err := e.writeIn(context.WithoutCancel(e.sendCtx), store.Scope{Changes: d.v.ID}, func(tx *store.Tx) (err error) {
			hastened = false
			if pause > firstPause { // it failed: since this node stood still until all had moved to the archive?
				if _, there, err := tx.Event(d.event.Key()); err != nil || !there {
					return err
				}
			}
			hastened, err = e.record(tx, d, sub, now)
			return err
		})
		if err == nil {
			e.runner.Wake(d.v.DueAt)
			if hastened {
				e.runner.Wake(now)
			}
			return
		}
		if !e.pause(e.sendCtx, pause) {
			e.cfg.Log.Error("outcome of an event not recorded", "event_id", d.event.ID.String(), "error", err)
			return
		}
	}
}

// handOver leaves to another node at once what a stop has broken off. Where that
// cannot be written, or there is none, the end of the lease or the next process
// brings it up.
func (e *Engine) handOver(d delivery) {
	if !e.cfg.Store.Shared() {
		return
	}
	err := e.writeIn(context.WithoutCancel(e.sendCtx), store.Scope{Changes: d.v.ID}, func(tx *store.Tx) error { return tx.HandOver(d.v.ID, d.fence, e.now()) })
	if err != nil {
		e.cfg.Log.Warn("message not handed over", "event_id", d.event.ID.String(), "error", err)
	}
}

// record writes the outcome, and what is known of it already by receipts and late
// answers.
func (e *Engine) record(tx *store.Tx, d delivery, sub deliver.Submission, now time.Time) (hastened bool, err error) {
	if err := tx.SaveEvent(d.event); err != nil {
		return false, err
	}
	if d.event.Cost != 0 {
		if err := tx.AddCost(d.v, d.event, strconv.Itoa(d.event.Attempt), d.event.Cost, now); err != nil {
			return false, err
		}
	}
	known := d.event.State == verify.EventAccepted && d.event.Attempt == 1 // all there is to know
	for i, ref := range sub.Refs {
		part := verify.Part{
			Attempt: d.event.Attempt, Seq: i, Count: len(sub.Refs),
			Carrier: sub.Carrier, Ref: ref, State: verify.EventAccepted,
		}
		reported, err := e.accept(tx, d.event.Key(), part, now)
		if err != nil {
			return false, err
		}
		known = known && !reported
	}
	if err := tx.Release(d.v.ID, d.fence); err != nil || known {
		return false, err
	}
	return e.settle(tx, d.event.Key(), now)
}

// compose writes the message of an event. It runs before each hand-over, since the
// text states the lifetime left to the PIN.
func (e *Engine) compose(d delivery) deliver.Message {
	now := e.now()
	m := deliver.Message{
		EventID: d.event.ID, RequestID: d.v.ID, Account: d.v.Account, Seq: d.event.Seq, Attempt: d.event.Attempt, Channel: d.event.Channel,
		Country: d.v.Country, To: verify.PhoneAddress(d.v.Number), From: cmp.Or(d.v.Sender, defaultSender),
		ValidFor: d.v.PINExpiresAt.Sub(now), Values: e.cfg.Messages.CarrierValues(e.sendCtx, d.v.Account),
	}
	in := message.Input{
		Locale: d.v.Locale, Brand: d.v.Brand, Payment: d.v.Payment,
		PIN: d.v.PIN, ValidFor: d.v.StatedLife(d.event, now),
	}
	m.Text, m.Script = e.cfg.Messages.Write(e.sendCtx, d.v.Account, d.event.Channel, in)
	return m
}
