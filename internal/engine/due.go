package engine

import (
	"context"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// takeSteps handles every row that is due, and returns when the next one is. While
// Config.Hold returns an error it handles none.
func (e *Engine) takeSteps(ctx context.Context) (next time.Time, err error) {
	for ctx.Err() == nil {
		e.renewLeases(ctx)
		if e.held() {
			return e.now().Add(maxIdleShared), nil
		}
		at, ok, err := e.cfg.Store.NextDue(ctx)
		if err != nil || !ok {
			return time.Time{}, err
		}
		if at.After(e.now()) {
			return at, nil
		}
		found, err := e.takeBatch(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if !found && e.cfg.Store.Shared() {
			return e.now().Add(heldByOther), nil
		}
	}
	return time.Time{}, ctx.Err()
}

// held reports whether this node must handle no due rows. The source of the reason logs it.
func (e *Engine) held() bool { return e.cfg.Hold != nil && e.cfg.Hold() != nil }

// heldByOther is the pause before another look at rows that are due but locked by another
// node: short, since that node may die.
const heldByOther = 50 * time.Millisecond

// takeBatch handles some of the rows that are due. It reports whether it found any.
func (e *Engine) takeBatch(ctx context.Context) (found bool, err error) {
	room := 0
	for room < maxStepBatch && e.reserve() {
		room++
	}
	if room == 0 { // every slot has a message in flight; one is free soon
		e.pause(ctx, 10*time.Millisecond)
		return true, nil
	}
	t, err := e.apply(ctx, store.Scope{}, func(t *transition) error { return e.takeDue(t, room) })
	if err != nil || t.found > 0 {
		e.cfg.Report("step", err)
	}
	var refunds []verify.Verification
	for _, c := range t.changes {
		if c.Send != nil {
			room--
		}
		if c.Verification.RefundDue() && c.Verification.Lease.Node == e.node {
			refunds = append(refunds, c.Verification)
		}
	}
	for range room {
		e.unreserve()
	}
	if rerr := e.refund(ctx, refunds); rerr != nil && err == nil {
		err = rerr
	}
	return t.found > 0, err
}

// takeDue handles due rows in one transaction.
func (e *Engine) takeDue(t *transition, limit int) error {
	rows, broken, err := t.Due(t.now, limit)
	if err != nil {
		return err
	}
	t.found = len(rows) + len(broken)
	for id, why := range broken {
		// A broken row must not delay the others.
		e.cfg.Log.Error("cannot read verification, retrying in a minute", "request_id", id.Hex(), "error", why)
		if err := t.Postpone(id, t.now.Add(time.Minute)); err != nil {
			return err
		}
	}
	locked, err := t.HeldNumbers(numbersToStep(rows, t.now))
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.StepsLeft() && locked[row.StepAt(len(row.Events)).To.Canonical] {
			t.found--
			continue
		}
		if err := e.handle(t, row); err != nil {
			return err
		}
	}
	return nil
}

// numbersToStep lists the numbers to which a message may be due.
func numbersToStep(rows []store.DueRow, now time.Time) (numbers []string) {
	for _, row := range rows {
		if row.StepDue(now) && row.StepsLeft() {
			numbers = append(numbers, row.StepAt(len(row.Events)).To.Canonical)
		}
	}
	return numbers
}

// handle applies the rule for the reason why a row is due. A refund follows in another
// transaction, which locks the balance first.
func (e *Engine) handle(t *transition, row store.DueRow) (err error) {
	v := row.Verification
	if row.Reason == verify.RefundCheck && v.RefundDue() {
		return t.save(v.LeaseForRefund(e.node, t.now))
	}
	var h verify.History = verify.Uncapped{}
	if v.StepDue(t.now) {
		if h, err = t.nextHistory(v.Request, len(v.Events)); err != nil {
			return err
		}
	}
	r := verify.Runner{Node: e.node, InFlight: e.flights.has}
	if r.OnFailure, err = e.onFailure(t, v.Account, len(v.Open()) > 0); err != nil {
		return err
	}
	if row.Reason == verify.StepDue || row.Reason == verify.ExpiryDue {
		return t.save(v.Step(r, h, t.now, e.rand))
	}
	return t.save(v.Recover(r, h, t.now, e.rand))
}

// onFailure returns the consequence of a failed event. It loads the account's setting only
// if an event may fail.
func (e *Engine) onFailure(t *transition, account string, mayFail bool) (f verify.OnFailure, err error) {
	f.Failed = e.cfg.Router.Failed
	if mayFail {
		var then verify.OnUndeliverable
		then, err = t.OnUndeliverable(account)
		f.NextStep = then == verify.UndeliverableNextEvent
	}
	return f, err
}
