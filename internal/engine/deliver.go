package engine

import (
	"context"
	"errors"
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

// defaultSender is shown where the application names none.
const defaultSender = "VERIFY"

// deliver sends the message in the background. The caller has reserved a slot.
func (e *Engine) deliver(d delivery) {
	e.deliveries.Go(func() {
		defer e.unreserve()
		ctx, cancel := context.WithTimeout(e.sendCtx, sendTimeout)
		defer cancel()
		sub, err := e.cfg.Router.Send(ctx, e.compose(d))
		d.event.Carrier, d.event.CarrierRef = sub.Carrier, sub.Ref
		switch {
		case err == nil:
			d.event.State = verify.EventAccepted
		case errors.Is(err, deliver.ErrNoRoute), errors.Is(err, deliver.ErrRefused):
			d.event.State = verify.EventRefused
		default:
			d.event.State = verify.EventUnknown
		}
		e.metrics.events.WithLabelValues(string(d.event.Channel), string(d.event.State)).Inc()
		if err != nil {
			e.cfg.Log.Warn("message not accepted", "request_id", d.v.ID.Hex(), "event_id", d.event.ID.String(),
				"channel", d.event.Channel, "error", err)
		}
		e.finish(d)
	})
}

// finish records the outcome and gives the claim back. When the database does
// not take it now, it is tried again while the claim holds: later the event
// would be taken for lost, and sent twice.
func (e *Engine) finish(d delivery) {
	const pause = 200 * time.Millisecond
	for tries := 1; ; tries++ {
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
		if tries*int(pause) >= int(lease-sendTimeout) || e.sendCtx.Err() != nil {
			e.cfg.Log.Error("outcome of an event not recorded", "event_id", d.event.ID.String(), "error", err)
			return
		}
		e.cfg.Clock.Sleep(pause)
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
