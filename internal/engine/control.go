package engine

import (
	"context"

	"countersign/internal/account"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Cancel ends an account's verification. See [verify.Verification.Cancel] for the refusals.
func (e *Engine) Cancel(ctx context.Context, account verify.Account, id verify.ID) error {
	_, err := e.change(ctx, store.Scope{Changes: id}, account.Key, func(t *transition, v verify.Verification) (verify.Change, bool, error) {
		c, err := v.Cancel(t.now)
		return c, true, err
	})
	return err
}

// Trigger sends the next message of an account's verification now. See
// [verify.Verification.Trigger] for the refusals.
func (e *Engine) Trigger(ctx context.Context, a verify.Account, id verify.ID) error {
	if err := account.MaySend(a); err != nil {
		return err
	}
	if !e.reserve() {
		return &verify.Error{Kind: verify.KindUnavailable}
	}
	_, err := e.change(ctx, store.Scope{Verification: id}, a.Key, func(t *transition, v verify.Verification) (c verify.Change, _ bool, err error) {
		h, err := t.nextHistory(v.Request, len(v.Events))
		if err != nil {
			return c, false, err
		}
		c, err = v.Trigger(e.node, h, t.now, e.rand)
		return c, true, err
	})
	if err != nil {
		e.unreserve()
	}
	return err
}
