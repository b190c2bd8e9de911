package engine

import (
	"context"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Cancel ends an account's verification. See [verify.Verification.Cancel] for
// when it is refused.
func (e *Engine) Cancel(ctx context.Context, account verify.Account, id verify.ID) error {
	var cancelled verify.Verification
	err := e.writeIn(ctx, store.Scope{Changes: id}, on(account, id, func(tx *store.Tx, row *store.Row) error {
		v, err := row.Cancel(e.now())
		if err != nil {
			return err
		}
		row.Verification, cancelled = v, v
		return tx.Save(row)
	}))
	if err == nil {
		e.cfg.Velocity.Ended(cancelled)
		e.wakeRefund(cancelled)
		e.metrics.ended.WithLabelValues(string(verify.Cancelled)).Inc()
	}
	return err
}

// Trigger sends the next message of an account's verification now. See
// [verify.Verification.Trigger] for when it is refused; and with KindBlocked when the
// number has got too many.
func (e *Engine) Trigger(ctx context.Context, account verify.Account, id verify.ID) error {
	if !e.reserve() {
		return &verify.Error{Kind: verify.KindUnavailable}
	}
	var (
		d      delivery
		until  time.Time
		capped *fraud.Refusal
	)
	err := e.writeIn(ctx, store.Scope{Verification: id}, on(account, id, func(tx *store.Tx, row *store.Row) error {
		now := e.now()
		g, err := e.guard(tx, row.Request, now)
		if err != nil {
			return err
		}
		v, event, err := row.Trigger(now, e.rand)
		if err != nil {
			return err
		}
		d = delivery{v: v}
		if capped = g.maySend(); capped != nil {
			return &verify.Error{Kind: verify.KindBlocked, Request: id}
		}
		row.Verification = v
		// Whoever holds the row, its step is overtaken.
		row.Take(e.node, leaseEnd(row, now))
		until = row.Until
		d = delivery{v, event, row.Fence}
		if err := tx.AddEvent(event); err != nil {
			return err
		}
		if err := tx.Save(row); err != nil {
			return err
		}
		return g.sent(tx)
	}))
	if err != nil {
		e.unreserve()
		if is(err, verify.KindBlocked) {
			e.capped(d.v.Request, capped)
		}
		return err
	}
	e.deliver(d)
	e.runner.Wake(until)
	return nil
}

// on is a transaction on an account's verification. It returns KindNotFound where
// there is none.
func on(account verify.Account, id verify.ID, do func(*store.Tx, *store.Row) error) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		row, ok, err := tx.Get(account.Key, id)
		if err != nil {
			return err
		}
		if !ok {
			return &verify.Error{Kind: verify.KindNotFound, Request: id}
		}
		return do(tx, row)
	}
}
