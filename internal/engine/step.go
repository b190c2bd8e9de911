package engine

import (
	"context"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// takeSteps takes every step that is due: it commits the events that they make,
// then delivers them. It returns when the next step falls due. While Config.Hold returns
// an error it takes none.
func (e *Engine) takeSteps(ctx context.Context) (next time.Time, err error) {
	for ctx.Err() == nil {
		e.renewClaims(ctx)
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
		looked, err := e.takeBatch(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if !looked && e.cfg.Store.Shared() {
			return e.now().Add(heldByOther), nil
		}
	}
	return time.Time{}, ctx.Err()
}

// held reports whether this node must take no due steps. The source of the reason logs it.
func (e *Engine) held() bool { return e.cfg.Hold != nil && e.cfg.Hold() != nil }

// heldByOther is when to look again at rows that are due, but that another node is
// at work on: soon, since it may die.
const heldByOther = 50 * time.Millisecond

// takeBatch takes some of the steps that are due. It reports whether it found any.
func (e *Engine) takeBatch(ctx context.Context) (found bool, err error) {
	room := 0
	for room < maxStepBatch && e.reserve() {
		room++
	}
	if room == 0 { // every slot is taken by a message on its way; one is free soon
		e.pause(ctx, 10*time.Millisecond)
		return true, nil
	}
	var b batch
	err = e.write(ctx, func(tx *store.Tx) error {
		b = batch{}
		return e.takeDue(tx, e.now(), room, &b)
	})
	if err != nil || b.found > 0 {
		e.cfg.Report("step", err)
	}
	if err != nil {
		b = batch{} // rolled back
	}
	for range room - len(b.deliveries) {
		e.unreserve()
	}
	for _, d := range b.deliveries {
		e.deliver(d)
	}
	for _, late := range b.lateness {
		e.metrics.lateness.Observe(late.Seconds())
	}
	for _, c := range b.capped {
		e.capped(c.req, c.by)
	}
	e.metrics.ended.WithLabelValues(string(verify.Expired)).Add(float64(len(b.expired)))
	e.cfg.Velocity.Ended(b.expired...)
	if rerr := e.refund(ctx, b.refunds); rerr != nil && err == nil {
		err = rerr
	}
	return b.found > 0, err
}

// batch is what the steps of one transaction came to.
type batch struct {
	deliveries []delivery
	lateness   []time.Duration // of each step
	expired    []verify.Verification
	capped     []cappedStep
	found      int                   // rows that were due, and that nobody else was at work on
	refunds    []verify.Verification // to be looked at, by accounts
}

type cappedStep struct {
	req verify.Request
	by  *fraud.Refusal
}

// takeDue decides, in one transaction, about every row that is due.
func (e *Engine) takeDue(tx *store.Tx, now time.Time, limit int, b *batch) error {
	rows, broken, err := tx.Due(now, limit)
	if err != nil {
		return err
	}
	b.found = len(rows) + len(broken)
	for id, why := range broken {
		// One row that cannot be read must not hold up the others.
		e.cfg.Log.Error("verification cannot be read, trying again in a minute", "request_id", id.Hex(), "error", why)
		if err := tx.Postpone(id, now.Add(time.Minute)); err != nil {
			return err
		}
	}
	held, err := tx.HeldGuards(steppingTo(rows, now))
	if err != nil {
		return err
	}
	for _, row := range rows {
		if held[row.Number] {
			b.found--
			continue
		}
		event, err := e.stepRow(tx, row, now, b)
		if err != nil {
			return err
		}
		if event != nil {
			b.deliveries = append(b.deliveries, delivery{row.Verification, *event, row.Fence})
		}
	}
	return nil
}

// steppingTo lists the numbers of rows to which a message may be due.
func steppingTo(rows []*store.Row, now time.Time) (numbers []string) {
	for _, row := range rows {
		if stepDue(row, now) && row.StepsLeft() {
			numbers = append(numbers, row.Number)
		}
	}
	return numbers
}

// stepDue reports whether the next step of row is due. For a verification from the
// future that is its end.
func stepDue(row *store.Row, now time.Time) bool {
	return row.Status == verify.InProgress && (!now.Before(row.DueAt) || row.FromFuture(now))
}

// stepRow decides about one row and returns the event to deliver, if any.
func (e *Engine) stepRow(tx *store.Tx, row *store.Row, now time.Time, b *batch) (*verify.Event, error) {
	idle := !stepDue(row, now)
	flying := row.Node == e.node && e.flights.has(row.LastEventID)
	if row.Node != "" && (!idle || !flying) {
		var (
			event *verify.Event
			err   error
		)
		if event, flying, err = e.rescue(tx, row, now); event != nil || err != nil {
			return event, err
		}
	}
	if idle {
		e.hold(row, flying, now)
		if row.RefundDue() && !flying {
			row.Take(e.node, leaseEnd(row, now))
			b.refunds = append(b.refunds, row.Verification)
		}
		return nil, tx.Save(row)
	}
	b.lateness = append(b.lateness, max(0, now.Sub(row.DueAt)))
	v, event := row.Step(now, e.rand)
	if event == nil {
		row.Verification = v
		e.hold(row, flying, now)
		b.expired = append(b.expired, row.Verification)
		return nil, tx.Save(row)
	}
	// At the time of the event, so that caps and events agree on when it was sent.
	g, err := e.guard(tx, row.Request, event.StartedAt)
	if err != nil {
		return nil, err
	}
	if capped := g.maySend(); capped != nil {
		b.capped = append(b.capped, cappedStep{row.Request, capped})
		return nil, e.stepCapped(tx, row, flying, now)
	}
	row.Verification = v
	row.Take(e.node, leaseEnd(row, now))
	if err := tx.AddEvent(*event); err != nil {
		return nil, err
	}
	if err := tx.Save(row); err != nil {
		return nil, err
	}
	return event, g.sent(tx)
}

// stepCapped takes a step whose message a cap keeps from the number.
func (e *Engine) stepCapped(tx *store.Tx, row *store.Row, flying bool, now time.Time) error {
	v, event := row.StepCapped(now, e.rand)
	row.Verification = v
	e.hold(row, flying, now)
	if err := tx.AddEvent(event); err != nil {
		return err
	}
	return tx.Save(row)
}

// hold keeps a claim while this process has a message of the row on its way, which
// does not hold up the next one, and gives it back otherwise.
func (e *Engine) hold(row *store.Row, flying bool, now time.Time) {
	if flying {
		row.Until = leaseEnd(row, now)
	} else {
		row.Drop()
	}
}

// leaseEnd is when a row that is claimed now falls due though nobody gave it back.
// A message that is slow on its way must not hold up the next one.
func leaseEnd(row *store.Row, now time.Time) time.Time {
	until := now.Add(lease)
	if row.Status == verify.InProgress && row.DueAt.Before(until) {
		return row.DueAt
	}
	return until
}

// rescue settles what a node left behind that held the row until its lease ran
// out: a message that may or may not have gone out is sent once more, if that
// still helps. What this process has on its way it will tell of itself: flying.
func (e *Engine) rescue(tx *store.Tx, row *store.Row, now time.Time) (resend *verify.Event, flying bool, err error) {
	events, err := tx.Submitting(row.ID)
	if err != nil {
		return nil, false, err
	}
	for _, event := range events {
		if e.flights.has(event.ID) {
			flying = true
			continue
		}
		again := row.Resend(event, now)
		if again {
			event.Attempt++
			row.Take(e.node, leaseEnd(row, now))
			resend = &event
		} else {
			event.State = verify.EventUnknown
		}
		if err := tx.SaveEvent(event); err != nil {
			return nil, false, err
		}
		if again {
			continue
		}
		// Unless a late answer and its receipts told more.
		if event, err = reported(tx, event); err != nil {
			return nil, false, err
		}
		if _, err := e.hasten(tx, row, event, now); err != nil {
			return nil, false, err
		}
	}
	if resend == nil {
		return nil, flying, nil
	}
	return resend, flying, tx.Save(row)
}
