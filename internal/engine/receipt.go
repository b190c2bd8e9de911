package engine

import (
	"context"
	"errors"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Receipt records what a carrier reports of a message that it accepted. One that
// comes before the carrier's answer is kept until that is there. One for a
// verification that has moved to the archive looks the same, and changes nothing.
func (e *Engine) Receipt(ctx context.Context, r deliver.Receipt) error {
	now := e.now()
	var hastened, kept bool
	err := e.write(ctx, func(tx *store.Tx) error {
		hastened, kept = false, false
		key, part, ok, err := findPart(tx, r)
		if err != nil {
			return err
		}
		if ok && e.cfg.Router.Failed(r.State) { // who changes both locks the verification first
			if _, _, err := tx.Find(key.Verification); err != nil && !errors.Is(err, store.ErrBroken) {
				return err
			}
		}
		var event verify.Event
		if ok { // and stays while the event is locked
			if event, ok, err = tx.Event(key); err != nil {
				return err
			}
		}
		if !ok {
			kept = true
			return tx.KeepReceipt(verify.Part{Carrier: r.Carrier, Ref: r.Ref, State: r.State, Error: r.Error}, now)
		}
		reported := part.Report(r.State, r.Error)
		if reported == part {
			return nil
		}
		reported.ReportedAt = now
		if err := tx.SavePart(key, reported); err != nil {
			return err
		}
		hastened, err = e.settleEvent(tx, event, now)
		return err
	})
	if err != nil {
		return err
	}
	if kept {
		e.metrics.early.Inc()
	}
	e.cfg.Router.Reported(r)
	if hastened {
		e.runner.Wake(now)
	}
	return nil
}

// findPart returns the part that a receipt is about, and its event. A part under one
// of FormerRefs counts only if the receipt changes it: a carrier may use an id again,
// and an old part must not take the receipt of a message without an answer so far.
func findPart(tx *store.Tx, r deliver.Receipt) (key verify.EventKey, part verify.Part, ok bool, err error) {
	key, part, ok, err = tx.Part(r.Carrier, r.Ref)
	if ok || err != nil {
		return key, part, ok, err
	}
	for _, former := range r.FormerRefs {
		key, part, ok, err = tx.Part(r.Carrier, former)
		if err != nil || ok && part.Report(r.State, r.Error) != part {
			return key, part, ok, err
		}
	}
	return verify.EventKey{}, verify.Part{}, false, nil
}

// Answer records a carrier's answer to a hand-over that came too late for it.
func (e *Engine) Answer(ctx context.Context, a deliver.Answer) error {
	now := e.now()
	prices, err := e.cfg.Store.PriceList(ctx)
	if err != nil {
		return err
	}
	var hastened bool
	err = e.writeIn(ctx, store.Scope{Changes: a.Event.Verification}, func(tx *store.Tx) error {
		hastened = false
		event, ok, err := tx.Event(a.Event)
		if err != nil || !ok {
			return err
		}
		refused := a.Part.State == verify.EventRefused
		if refused && a.Part.Attempt != event.Attempt {
			return nil // says nothing of the last attempt
		}
		event.State, event.Carrier, event.Error = a.Part.State, a.Part.Carrier, a.Part.Error
		if err := tx.SaveLate(event); err != nil {
			return err
		}
		if !refused {
			if _, err := e.accept(tx, event.Key(), a.Part, now); err != nil {
				return err
			}
			if err := addLateCost(tx, prices, event, a.Part, now); err != nil {
				return err
			}
		}
		hastened, err = e.settle(tx, event.Key(), now)
		return err
	})
	if err == nil && hastened {
		e.runner.Wake(now)
	}
	return err
}

// accept adds a part that a carrier took, with what its receipt has said already,
// if it has.
func (e *Engine) accept(tx *store.Tx, event verify.EventKey, p verify.Part, now time.Time) (reported bool, err error) {
	if p.Ref == "" {
		return false, nil // nothing will be said of it
	}
	early, reported, err := tx.TakeReceipt(p.Carrier, p.Ref, now)
	if err != nil {
		return false, err
	}
	if reported {
		p = p.Report(early.State, early.Error)
		p.ReportedAt = early.ReportedAt
	}
	return reported, tx.SavePart(event, p)
}

// settle brings an event up to what is known of its parts, and lets the next step
// fall due when the event failed and the account does not want to wait. Of an event
// that never left it notes that there may be a refund.
func (e *Engine) settle(tx *store.Tx, key verify.EventKey, now time.Time) (hastened bool, err error) {
	event, ok, err := tx.Event(key)
	if err != nil || !ok {
		return false, err
	}
	return e.settleEvent(tx, event, now)
}

// settleEvent is settle for an event that is loaded already.
func (e *Engine) settleEvent(tx *store.Tx, event verify.Event, now time.Time) (hastened bool, err error) {
	if event, err = reported(tx, event); err != nil || !e.cfg.Router.Failed(event.State) {
		return false, err
	}
	row, ok, err := tx.Find(event.Verification)
	if errors.Is(err, store.ErrBroken) {
		return false, nil // it has no next step; whoever is to take that says so
	}
	if err != nil || !ok {
		return false, err
	}
	if hastened, err = e.hasten(tx, row, event, now); err != nil {
		return false, err
	}
	if hastened {
		// Its last message is done with, so nobody is at work on it, unless the outcome of
		// one before is open: the end of the lease brings that up, and the next step.
		open, err := tx.Submitting(row.ID)
		if err != nil {
			return false, err
		}
		if len(open) == 0 {
			row.Drop()
		}
	}
	if event.NeverLeft() && row.Charged() != 0 {
		row.Unsent = true // as it may be already, by an event before
		return hastened || row.RefundDue(), tx.Save(row)
	}
	if !hastened {
		return false, nil
	}
	return true, tx.Save(row)
}

// reported brings an event up to what is known of its parts.
func reported(tx *store.Tx, event verify.Event) (verify.Event, error) {
	parts, err := tx.Parts(event.Key())
	if err != nil {
		return event, err
	}
	after := event.Reported(parts)
	if after == event {
		return event, nil
	}
	return after, tx.SaveReported(after)
}

// hasten lets the next step of row fall due at now, if event failed and the
// account does not want to wait. The caller saves the row.
func (e *Engine) hasten(tx *store.Tx, row *store.Row, event verify.Event, now time.Time) (hastened bool, err error) {
	if !e.cfg.Router.Failed(event.State) {
		return false, nil
	}
	then, err := tx.OnUndeliverable(row.Account)
	if err != nil || then != verify.UndeliverableNextEvent {
		return false, err
	}
	row.Verification, hastened = row.Hasten(event, now)
	return hastened, nil
}
