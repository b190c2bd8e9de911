package engine

import (
	"context"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// takeSteps takes every step that is due: it commits the events that they make,
// then delivers them. It returns when the next step falls due.
func (e *Engine) takeSteps(ctx context.Context) (next time.Time, err error) {
	for ctx.Err() == nil {
		at, ok, err := e.cfg.Store.NextDue(ctx)
		if err != nil || !ok {
			return time.Time{}, err
		}
		if at.After(e.now()) {
			return at, nil
		}
		if err := e.takeBatch(ctx); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, ctx.Err()
}

func (e *Engine) takeBatch(ctx context.Context) error {
	room := 0
	for room < maxStepBatch && e.reserve() {
		room++
	}
	if room == 0 { // every slot is taken by a message on its way; one is free soon
		e.cfg.Clock.Sleep(10 * time.Millisecond)
		return nil
	}
	var deliveries []delivery
	err := e.write(ctx, func(tx *store.Tx) (err error) {
		deliveries, err = e.stepDue(tx, e.now(), room)
		return err
	})
	if err != nil {
		deliveries = nil // rolled back
	}
	for range room - len(deliveries) {
		e.unreserve()
	}
	for _, d := range deliveries {
		e.deliver(d)
	}
	return err
}

// stepDue decides, in one transaction, about every row that is due.
func (e *Engine) stepDue(tx *store.Tx, now time.Time, limit int) ([]delivery, error) {
	rows, broken, err := tx.Due(now, limit)
	if err != nil {
		return nil, err
	}
	for id, why := range broken {
		// One row that cannot be read must not hold up the others.
		e.cfg.Log.Error("verification cannot be read, trying again in a minute", "request_id", id.Hex(), "error", why)
		if err := tx.Postpone(id, now.Add(time.Minute)); err != nil {
			return nil, err
		}
	}
	var deliveries []delivery
	for _, row := range rows {
		event, err := e.stepRow(tx, row, now)
		if err != nil {
			return nil, err
		}
		if event != nil {
			deliveries = append(deliveries, delivery{row.Verification, *event, row.Fence})
		}
	}
	return deliveries, nil
}

// stepRow decides about one row and returns the event to deliver, if any.
func (e *Engine) stepRow(tx *store.Tx, row *store.Row, now time.Time) (*verify.Event, error) {
	if row.Node != "" {
		event, err := e.rescue(tx, row, now)
		if event != nil || err != nil {
			return event, err
		}
	}
	if now.Before(row.DueAt) { // a rescued row whose next step has time
		row.Drop()
		return nil, tx.Save(row)
	}
	e.metrics.lateness.Observe(now.Sub(row.DueAt).Seconds())
	v, event := row.Step(now, e.rand)
	row.Verification = v
	if event == nil {
		row.Drop()
		e.metrics.ended.WithLabelValues(string(v.Status)).Inc()
		return nil, tx.Save(row)
	}
	row.Take(e.node, now.Add(lease))
	if err := tx.AddEvent(*event); err != nil {
		return nil, err
	}
	return event, tx.Save(row)
}

// rescue settles what a node left behind that held the row until its lease ran
// out: a message that may or may not have gone out is sent once more, if that
// still helps.
func (e *Engine) rescue(tx *store.Tx, row *store.Row, now time.Time) (resend *verify.Event, err error) {
	events, err := tx.Submitting(row.ID)
	if err != nil {
		return nil, err
	}
	for _, event := range events {
		if row.Resend(event, now) {
			event.Attempt++
			row.Take(e.node, now.Add(lease))
			resend = &event
		} else {
			event.State = verify.EventUnknown
		}
		if err := tx.SaveEvent(event); err != nil {
			return nil, err
		}
	}
	if resend == nil {
		return nil, nil
	}
	return resend, tx.Save(row)
}
