package engine

import (
	"context"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Receipt records what a carrier reports of a message that it accepted. One that
// comes before the carrier's answer is kept until that is there.
func (e *Engine) Receipt(ctx context.Context, r deliver.Receipt) error {
	now := e.now()
	var hastened, kept bool
	err := e.write(ctx, func(tx *store.Tx) error {
		hastened, kept = false, false
		id, part, ok, err := tx.Part(r.Carrier, r.Ref)
		if err != nil {
			return err
		}
		if !ok {
			kept = true
			return tx.KeepReceipt(verify.Part{Carrier: r.Carrier, Ref: r.Ref, State: r.State, Error: r.Error}, now)
		}
		reported := part.Report(r.State, r.Error)
		if reported == part {
			return nil
		}
		if err := tx.SavePart(id, reported); err != nil {
			return err
		}
		hastened, err = e.settle(tx, id, now)
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

// Answer records a carrier's answer to a hand-over that came too late for it.
func (e *Engine) Answer(ctx context.Context, a deliver.Answer) error {
	now := e.now()
	var hastened bool
	err := e.write(ctx, func(tx *store.Tx) error {
		hastened = false
		event, ok, err := tx.Event(a.EventID)
		if err != nil || !ok {
			return err
		}
		if a.Part.State == verify.EventRefused {
			event.State, event.Carrier, event.Error = verify.EventRefused, a.Part.Carrier, a.Part.Error
			if err := tx.SaveLate(event); err != nil {
				return err
			}
		} else if _, err := e.accept(tx, event.ID, a.Part); err != nil {
			return err
		}
		hastened, err = e.settle(tx, event.ID, now)
		return err
	})
	if err == nil && hastened {
		e.runner.Wake(now)
	}
	return err
}

// accept adds a part that a carrier took, with what its receipt has said already,
// if it has.
func (e *Engine) accept(tx *store.Tx, event verify.ID, p verify.Part) (reported bool, err error) {
	if p.Ref == "" {
		return false, nil // nothing will be said of it
	}
	early, reported, err := tx.TakeReceipt(p.Carrier, p.Ref)
	if err != nil {
		return false, err
	}
	if reported {
		p = p.Report(early.State, early.Error)
	}
	return reported, tx.SavePart(event, p)
}

// settle brings an event up to what is known of its parts, and lets the next step
// fall due when the event failed and the account does not want to wait.
func (e *Engine) settle(tx *store.Tx, id verify.ID, now time.Time) (hastened bool, err error) {
	event, ok, err := tx.Event(id)
	if err != nil || !ok {
		return false, err
	}
	parts, err := tx.Parts(id)
	if err != nil {
		return false, err
	}
	if after := event.Reported(parts); after != event {
		event = after
		if err := tx.SaveReported(event); err != nil {
			return false, err
		}
	}
	if !event.Failed() {
		return false, nil
	}
	row, ok, err := tx.Find(event.Verification)
	if err != nil || !ok {
		return false, err
	}
	then, err := tx.OnUndeliverable(row.Account)
	if err != nil || then != verify.UndeliverableNextEvent {
		return false, err
	}
	if row.Verification, hastened = row.Hasten(event, now); !hastened {
		return false, nil
	}
	row.Drop()
	return true, tx.Save(row)
}
