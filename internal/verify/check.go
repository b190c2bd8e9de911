package verify

import "time"

// TriesPerPIN is the number of wrong codes for one PIN that ends the verification.
const TriesPerPIN = 3

// Check is one submission of a code.
type Check struct {
	Generation int // generation of the PIN compared with the code
	Code       PIN
	Valid      bool
	IPAddress  string // as reported by the application; "" if not reported
	ReceivedAt time.Time
}

// Check compares code with the PIN. A right code ends the verification in SUCCESS and
// captures a held price. A wrong code uses one try and returns KindWrongCode. The third
// returns KindTooManyCodes and ends the verification in FAILED, as does a wrong code that
// fills a cap of the number. If a cap forbids the comparison, the check is recorded and the
// verification ends in FAILED even with the right code. An expired PIN makes every code
// wrong. Check returns KindNotFound for an ended verification.
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

// fail ends the verification in FAILED.
func (c *Change) fail(now time.Time) {
	c.finish(Failed, now, now)
	c.Answer = &Error{Kind: KindTooManyCodes, Request: c.Verification.ID}
}
