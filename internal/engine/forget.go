package engine

import (
	"context"
	"errors"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// ForgetNumber ends the verifications in progress of a number, if Cancel is set, and erases
// the number (see [store.DB.ForgetNumber]). Without Cancel it returns an error that wraps
// [store.ErrRunning] if a verification is in progress.
//
// It needs several transactions: the store erases a number with a long history in batches,
// so that requests need not wait. The first batch fails if a verification is in progress.
func (e *Engine) ForgetNumber(ctx context.Context, f store.Forget) (done store.Forgotten, err error) {
	cancelled := 0
	for range maxForgetTries { // a verification may begin between the two steps
		t, err := e.apply(ctx, store.Scope{Number: f.Number}, func(t *transition) error { return t.withdraw(f) })
		if err != nil {
			return done, err
		}
		for _, c := range t.changes {
			if c.Verification.Status == verify.Cancelled {
				cancelled++
			}
		}
		done, err = e.cfg.Store.ForgetNumber(ctx, f, e.now())
		if !errors.Is(err, store.ErrRunning) {
			done.Cancelled = cancelled
			return done, err
		}
	}
	return done, err
}

// maxForgetTries bounds the attempts of an erasure. It is repeated if a verification begins
// after withdraw and before ForgetNumber.
const maxForgetTries = 5

// withdraw ends the verifications in progress of a number.
func (t *transition) withdraw(f store.Forget) error {
	running, err := t.RunningOf(f.Number)
	if err != nil {
		return err
	}
	for _, v := range running {
		if !f.Cancel && v.At(t.now).Status == verify.InProgress {
			return store.ErrRunning
		}
	}
	for _, v := range running {
		if err := t.save(v.Withdraw(t.now)); err != nil {
			return err
		}
	}
	return nil
}
