package engine

import (
	"context"
	"errors"
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
	number string
	landed chan struct{} // closed when the outcome is recorded
}

func (f *flights) add(d delivery) (land func()) {
	fl := flight{d.v.Number, make(chan struct{})}
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
		sub, err := e.send(d)
		switch {
		case err == nil:
			d.event.State = verify.EventAccepted
		case errors.Is(err, deliver.ErrNotSent):
			// Left as it is: when the claim ends it is handed over once more, by
			// this process or the next.
		case errors.Is(err, deliver.ErrNoRoute), errors.Is(err, deliver.ErrRefused):
			d.event.State = verify.EventRefused
		case e.sendCtx.Err() != nil:
			// Broken off by a stop, and left for the next process.
		default:
			d.event.State = verify.EventUnknown
		}
		e.metrics.events.WithLabelValues(string(d.event.Channel), string(d.event.State)).Inc()
		if err != nil {
			e.cfg.Log.Warn("message not accepted", "request_id", d.v.ID.Hex(), "event_id", d.event.ID.String(),
				"channel", d.event.Channel, "error", err)
		}
		if d.event.State == verify.EventSubmitting {
			return
		}
		d.event.Carrier, d.event.CarrierRef = sub.Carrier, sub.Ref
		e.finish(d)
	})
}

// send hands the message over. Carriers that could not send it are asked again
// until the time for it is over, or the PIN is dead.
func (e *Engine) send(d delivery) (deliver.Submission, error) {
	ctx, cancel := context.WithTimeout(e.sendCtx, sendTimeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		sub, err := e.cfg.Router.Send(ctx, e.compose(d))
		if !errors.Is(err, deliver.ErrNotSent) || !e.pause(ctx, pause) || !e.now().Before(d.v.PINExpiresAt) {
			return sub, err
		}
	}
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
func (e *Engine) finish(d delivery) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := e.write(context.WithoutCancel(e.sendCtx), func(tx *store.Tx) error {
			if err := tx.SaveEvent(d.event); err != nil {
				return err
			}
			return tx.Release(d.v.ID, d.fence)
		})
		if err == nil {
			e.runner.Wake(d.v.DueAt)
			return
		}
		if !e.pause(e.sendCtx, pause) {
			e.cfg.Log.Error("outcome of an event not recorded", "event_id", d.event.ID.String(), "error", err)
			return
		}
	}
}

// compose writes the message of an event.
func (e *Engine) compose(d delivery) deliver.Message {
	m := deliver.Message{
		EventID: d.event.ID, RequestID: d.v.ID, Channel: d.event.Channel,
		Country: d.v.Country, To: d.v.Number, From: d.v.Sender,
		ValidFor: d.v.PINExpiresAt.Sub(e.now()),
	}
	if m.From == "" {
		m.From = defaultSender
	}
	in := message.Input{
		Locale: d.v.Locale, Brand: d.v.Brand, Payment: d.v.Payment,
		PIN: d.v.PIN, ValidFor: d.v.Workflow.PINLife,
	}
	if d.event.Channel == verify.TTS {
		m.Script = e.cfg.Messages.Call(in)
		m.Text = m.Script.Words()
	} else {
		m.Text = e.cfg.Messages.SMS(in)
	}
	return m
}
