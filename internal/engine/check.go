package engine

import (
	"context"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// Check compares a code with the PIN of an account's verification (see
// [verify.Verification.Check]). The try is committed before the answer: no number of
// parallel calls gets more guesses than calls in sequence. It returns the verification
// with KindWrongCode and KindTooManyCodes. KindThrottled precedes the comparison.
func (e *Engine) Check(ctx context.Context, account verify.Account, id verify.ID, code verify.PIN, ipAddress string) (verify.Verification, error) {
	if err := e.cfg.Velocity.MayCheck(account, ipAddress); err != nil {
		return verify.Verification{}, err
	}
	t, err := e.apply(ctx, e.counted(account, store.Scope{Verification: id}), func(t *transition) error {
		v, err := t.verification(account, id)
		if err != nil {
			return err
		}
		h, err := t.historyOf(v.Request, v.To)
		if err != nil {
			return err
		}
		c, err := v.Check(code, ipAddress, h, t.now)
		if err != nil {
			return err
		}
		return t.save(c)
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
