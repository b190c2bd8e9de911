package engine

import (
	"context"

	"countersign/internal/account"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Cancel ends an account's verification. See [verify.Verification.Cancel] for the refusals.
func (e *Engine) Cancel(ctx context.Context, account verify.Account, id verify.ID) error {
	_, err := e.apply(ctx, store.Scope{Changes: id}, func(t *transition) error {
		v, err := t.verification(account, id)
		if err != nil {
			return err
		}
		c, err := v.Cancel(t.now)
		if err != nil {
			return err
		}
		return t.save(c)
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
	_, err := e.apply(ctx, store.Scope{Verification: id}, func(t *transition) error {
		v, err := t.verification(a, id)
		if err != nil {
			return err
		}
		h, err := t.nextHistory(v)
		if err != nil {
			return err
		}
		c, err := v.Trigger(e.node, h, t.now, e.rand)
		if err != nil {
			return err
		}
		return t.save(c)
	})
	if err != nil {
		e.unreserve()
	}
	return err
}
