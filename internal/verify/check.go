package verify

import "time"

// TriesPerPIN is the number of wrong codes for one PIN that ends the verification.
const TriesPerPIN = 3

// Check is one submission of a code.
type Check struct {
	Generation int // of the PIN that the code was compared with
	Code       PIN
	Valid      bool
	IPAddress  string // as the application reported it; "" if it did not
	ReceivedAt time.Time
}

// Check compares code with the PIN. A right code ends the verification in SUCCESS, and
// charges a price that only has a hold. A wrong one costs a try; its answer is
// KindWrongCode, or KindTooManyCodes with the third, which ends the verification in FAILED.
// So does the wrong code that fills a cap of the number. If a cap forbids the comparison,
// the check is recorded, and the verification ends in FAILED even with the right code.
// While no PIN is live every code is wrong. A verification that is over is refused with
// KindNotFound.
func (v Verification) Check(code PIN, ipAddress string, h History, now time.Time) (Change, error) {
	if !v.running(now) {
		return Change{Verification: v}, &Error{Kind: KindNotFound, Request: v.ID}
	}
	c := v.change()
	by := h.MayCheck(now)
	valid := by == nil && v.PIN.Equal(code) && v.pinLives(now)
	c.Verification.Checks = append(c.Verification.Checks, Check{
		Generation: v.Generation, Code: code, Valid: valid, IPAddress: ipAddress, ReceivedAt: now,
	})
	c.fact(Fact{At: now, Kind: CodeChecked, Valid: valid})
	if by != nil {
		c.capped(0, by, now)
		c.fail(now)
		return *c, nil
	}
	c.History, by = h.Checked(valid, now)
	switch {
	case valid:
		c.finish(Success, now, now)
		c.capture(now)
		return *c, nil
	case by != nil:
		c.capped(0, by, now)
	}
	c.Verification.Tries++
	if by != nil || c.Verification.Tries >= TriesPerPIN {
		c.fail(now)
	} else {
		c.Answer = &Error{Kind: KindWrongCode, Request: v.ID}
	}
	return *c, nil
}

// fail ends the verification after a wrong code.
func (c *Change) fail(now time.Time) {
	c.finish(Failed, now, now)
	c.Answer = &Error{Kind: KindTooManyCodes, Request: c.Verification.ID}
}
