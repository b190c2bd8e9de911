package engine

import (
	"context"
	"errors"

	"countersign/internal/deliver"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Receipt records a carrier's delivery report. A receipt that precedes the carrier's
// response is stored until the response. A receipt for an archived verification is
// indistinguishable from it, and is also stored, without effect.
func (e *Engine) Receipt(ctx context.Context, r deliver.Receipt) error {
	in := store.Scope{Refs: []verify.Ref{{Carrier: r.Carrier, ID: r.Ref}}}
	for _, former := range r.FormerRefs {
		in.Refs = append(in.Refs, verify.Ref{Carrier: r.Carrier, ID: former})
	}
	if _, err := e.apply(ctx, in, func(t *transition) error { return e.receipt(t, r) }); err != nil {
		return err
	}
	e.cfg.Router.Reported(r)
	return nil
}

// receipt finds the message of a receipt. A message under one of FormerRefs matches only if
// the receipt changes it. Carriers reuse ids, so the receipt may be for a newer message that
// has no response yet.
func (e *Engine) receipt(t *transition, r deliver.Receipt) error {
	report := verify.Receipt{Ref: verify.Ref{Carrier: r.Carrier, ID: r.Ref}, State: r.State, Error: r.Error}
	known, _, err := e.report(t, report)
	if known || err != nil {
		return err
	}
	for _, id := range r.FormerRefs {
		former := report
		former.ID = id
		if _, changed, err := e.report(t, former); changed || err != nil {
			return err
		}
	}
	// A concurrent response waits for this lock.
	if err := t.LockRef(report.Ref); err != nil {
		return err
	}
	if known, _, err = e.report(t, report); known || err != nil {
		return err
	}
	t.early = true
	return t.KeepReceipt(report, t.now)
}

// report records a receipt of a known message.
func (e *Engine) report(t *transition, r verify.Receipt) (known, changed bool, err error) {
	id, ok, err := t.VerificationOf(r.Ref)
	if err != nil || !ok {
		return false, false, err
	}
	v, ok, err := t.Verification(id)
	if errors.Is(err, store.ErrBroken) {
		return true, false, nil // the runner logs it
	}
	if err != nil || !ok {
		return false, false, err
	}
	f, err := e.onFailure(t, v.Account, e.cfg.Router.Failed(r.State))
	if err != nil {
		return true, false, err
	}
	c, known, changed := v.Receipt(r, f, t.now)
	if changed {
		err = t.save(c)
	}
	return known, changed, err
}

// Answer records a carrier's response to a submission that arrived after its timeout.
func (e *Engine) Answer(ctx context.Context, a deliver.Answer) error {
	prices, err := e.cfg.Store.PriceList(ctx)
	if err != nil {
		return err
	}
	in := store.Scope{Changes: a.Event.Verification}
	_, err = e.change(ctx, in, "", func(t *transition, v verify.Verification) (c verify.Change, ok bool, err error) {
		if _, known := v.Event(a.Event.Seq); !known {
			return c, false, nil
		}
		late := verify.LateResponse{Event: a.Event.Seq, Part: a.Part}
		if a.Part.State != verify.EventRefused {
			late.Cost = costOf(prices, v.StepAt(late.Event), a.Part.Carrier, t.now)
			if late.Early, err = t.earlyReceipts(a.Part.Carrier, a.Part.Ref); err != nil {
				return c, false, err
			}
		}
		f, err := e.onFailure(t, v.Account, true)
		if err != nil {
			return c, false, err
		}
		c, ok = v.LateResponse(late, f, t.now)
		return c, ok, nil
	})
	return err
}

// earlyReceipts removes and returns the receipts that arrived before their carrier's
// response, by message id.
func (t *transition) earlyReceipts(carrier string, refs ...string) (early map[string]verify.Part, err error) {
	for _, ref := range refs {
		if ref == "" {
			continue // no receipt can name it
		}
		p, ok, err := t.TakeReceipt(verify.Ref{Carrier: carrier, ID: ref}, t.now)
		if err != nil {
			return nil, err
		}
		if ok {
			if early == nil {
				early = map[string]verify.Part{}
			}
			early[ref] = p
		}
	}
	return early, nil
}
