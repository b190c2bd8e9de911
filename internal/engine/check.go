package engine

import (
	"context"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// Check compares a code with the PIN of an account's verification (see
// [verify.Verification.Check]). It commits the attempt before it answers, so parallel
// calls get no more guesses than sequential ones. It also returns the verification with
// KindWrongCode and KindTooManyCodes. KindThrottled precedes the comparison.
func (e *Engine) Check(ctx context.Context, account verify.Account, id verify.ID, code verify.PIN, ipAddress string) (verify.Verification, error) {
	if err := e.cfg.Velocity.MayCheck(account, ipAddress); err != nil {
		return verify.Verification{}, err
	}
	in := e.counted(account, store.Scope{Verification: id})
	t, err := e.change(ctx, in, account.Key, func(t *transition, v verify.Verification) (c verify.Change, _ bool, err error) {
		h, err := t.history(v.Request, v.To)
		if err != nil {
			return c, false, err
		}
		c, err = v.Check(code, ipAddress, h, t.now)
		return c, true, err
	})
	if err != nil {
		e.metrics.checkFailed(err)
		return verify.Verification{}, err
	}
	c := t.changes[0]
	if c.Answer != nil {
		err = c.Answer
	}
	return c.Verification, err
}
