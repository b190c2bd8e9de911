package engine

import (
	"context"
	"errors"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Check compares a code with the PIN of an account's verification. The try is
// counted, and committed, before the answer: no number of parallel calls gets
// more guesses than one after the other would. It returns the verification with
// KindWrongCode and KindTooManyCodes, and KindNotFound when there is none in
// progress. KindTooManyCodes also comes when the number has seen too many wrong codes,
// of this verification and those before. KindThrottled comes before any look at the
// code.
func (e *Engine) Check(ctx context.Context, account verify.Account, id verify.ID, code verify.PIN, ipAddress string) (verify.Verification, error) {
	var (
		v       verify.Verification
		capped  *fraud.Refusal
		verdict error
	)
	if err := e.cfg.Velocity.MayCheck(account, ipAddress); err != nil {
		return v, err
	}
	err := e.writeCounted(ctx, account, store.Scope{Verification: id}, on(account, id, func(tx *store.Tx, row *store.Row) error {
		g, err := e.guard(tx, row.Request, e.now())
		if err != nil {
			return err
		}
		var check verify.Check
		v, check, capped, verdict = g.check(row.Verification, code, ipAddress)
		if is(verdict, verify.KindNotFound) {
			return verdict
		}
		row.Verification = v
		if err := tx.AddCheck(check); err != nil {
			return err
		}
		if err := e.chargeSuccess(tx, row); err != nil {
			return err
		}
		v = row.Verification
		if err := tx.Save(row); err != nil {
			return err
		}
		return g.save(tx)
	}))
	if err == nil {
		e.wakeRefund(v)
		err = verdict
		e.capped(v.Request, capped)
	}
	e.metrics.checked(v.Status, err)
	switch {
	case is(err, verify.KindTooManyCodes):
		e.cfg.Velocity.Failed(v, ipAddress)
		e.cfg.Velocity.Ended(v)
	case is(err, verify.KindWrongCode):
		e.cfg.Velocity.Failed(v, ipAddress)
	case err == nil:
		e.cfg.Velocity.Ended(v)
	}
	return v, err
}

// is reports whether err is a refusal of the given kind.
func is(err error, kind verify.Kind) bool {
	refusal, ok := errors.AsType[*verify.Error](err)
	return ok && refusal.Kind == kind
}
