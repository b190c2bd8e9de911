package engine

import (
	"time"

	"countersign/internal/fraud"
	"countersign/internal/phone"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// guard is what is known of the number of one verification, with the caps on it. It
// is of one transaction.
type guard struct {
	store.Guard
	caps    fraud.Caps
	account string
	now     time.Time
	test    bool // it is of a test number: nothing is counted, since nothing is sent
}

// guard loads it.
func (e *Engine) guard(tx *store.Tx, req verify.Request, now time.Time) (*guard, error) {
	if req.Workflow.Test {
		return &guard{account: req.Account, now: now, test: true}, nil
	}
	g, err := tx.Guard(req.Number)
	return &guard{Guard: g, caps: e.cfg.Caps, account: req.Account, now: now}, err
}

func (g *guard) maySend() *fraud.Refusal { return g.caps.MaySend(g.Number, g.account, g.now) }

// sent counts a message that is about to leave, in the commit after which it does.
func (g *guard) sent(tx *store.Tx) error {
	g.Number = g.caps.Sent(g.Number, g.account, g.now)
	return g.save(tx)
}

func (g *guard) save(tx *store.Tx) error {
	if g.test {
		return nil
	}
	return tx.SaveGuard(g.Guard, g.caps.StaleAt(g.Number))
}

// check compares a code with the PIN, unless the number has seen too many wrong ones,
// and counts it. The wrong code that fills a cap ends the verification, though its PIN
// had tries left. capped is the cap, if it was one that ended it.
func (g *guard) check(v verify.Verification, code verify.PIN, ipAddress string) (
	next verify.Verification, check verify.Check, capped *fraud.Refusal, verdict error,
) {
	if capped = g.caps.MayCheck(g.Number, g.account, g.now); capped != nil {
		next, check, verdict = v.Refuse(code, ipAddress, g.now)
		return next, check, capped, verdict
	}
	switch next, check, verdict = v.Check(code, ipAddress, g.now); {
	case verdict == nil:
		g.Number = g.caps.Verified(g.Number, g.account, g.now)
	case is(verdict, verify.KindWrongCode), is(verdict, verify.KindTooManyCodes):
		g.Number, capped = g.caps.Failed(g.Number, g.account, g.now)
		if capped != nil && is(verdict, verify.KindWrongCode) {
			next, verdict = next.Exhaust(g.now)
		}
	}
	return next, check, capped, verdict
}

// capped tells that a cap kept something from a number. It is called when that is
// certain, not in a transaction, which may come to nothing and be run again.
func (e *Engine) capped(req verify.Request, r *fraud.Refusal) {
	if r == nil {
		return
	}
	e.metrics.capped.WithLabelValues(r.Cap).Inc()
	e.cfg.Log.Info("number capped", "cap", r.Cap, "account", req.Account, "number", phone.Mask(req.Number), "until", r.Until)
}
