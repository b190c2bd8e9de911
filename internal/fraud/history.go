package fraud

import (
	"time"

	"countersign/internal/verify"
)

// History is a [Number] with the caps of an installation, for one account. It implements
// [verify.History].
type History struct {
	Number
	Address verify.Address
	Caps    Caps
	Account string
}

// MaySend implements [verify.History].
func (h History) MaySend(now time.Time) *verify.Cause {
	return h.Caps.MaySend(h.Number, h.Account, now).cause()
}

// Sent implements [verify.History].
func (h History) Sent(now time.Time) verify.History {
	h.Number = h.Caps.Sent(h.Number, h.Account, now)
	return h
}

// MayCheck implements [verify.History].
func (h History) MayCheck(now time.Time) *verify.Cause {
	return h.Caps.MayCheck(h.Number, h.Account, now).cause()
}

// Checked implements [verify.History].
func (h History) Checked(valid bool, now time.Time) (verify.History, *verify.Cause) {
	if valid {
		h.Number = h.Caps.Verified(h.Number, h.Account, now)
		return h, nil
	}
	var filled *Refusal
	h.Number, filled = h.Caps.Failed(h.Number, h.Account, now)
	return h, filled.cause()
}

// StaleAt returns the time after which the history has no effect.
func (h History) StaleAt() time.Time { return h.Caps.StaleAt(h.Number) }

// cause returns the refusal as the cause of an error, or nil.
func (r *Refusal) cause() *verify.Cause {
	if r == nil {
		return nil
	}
	return &verify.Cause{Rule: verify.RuleCap, Detail: r.Cap, Count: int64(r.Count), Limit: int64(r.Limit), Until: r.Until}
}
