package verify

import "time"

// TriesPerPIN is how many wrong codes a PIN survives being guessed with: the
// third ends the verification.
const TriesPerPIN = 3

// Check is one code that somebody submitted.
type Check struct {
	Verification ID
	Generation   int // of the PIN it was compared with
	Code         PIN
	Valid        bool
	IPAddress    string // as the application reported it; "" when it did not
	ReceivedAt   time.Time
}

// Check compares code with the PIN. A right code ends the verification in
// SUCCESS. A wrong one costs a try and returns [KindWrongCode], the third
// [KindTooManyCodes] and the end in FAILED. While no PIN is live every code is
// wrong. A verification that is over returns [KindNotFound].
//
// With KindWrongCode and KindTooManyCodes the returned values must still be
// stored: the try counts, and the check is part of the history.
func (v Verification) Check(code PIN, ipAddress string, now time.Time) (Verification, Check, error) {
	if !v.running(now) {
		return v, Check{}, &Error{Kind: KindNotFound, Request: v.ID}
	}
	check := Check{
		Verification: v.ID, Generation: v.Generation, Code: code,
		IPAddress: ipAddress, ReceivedAt: now,
	}
	if v.PIN.Equal(code) && v.pinLives(now) {
		check.Valid = true
		return v.end(Success, now), check, nil
	}
	v.Tries++
	if v.Tries >= TriesPerPIN {
		return v.end(Failed, now), check, &Error{Kind: KindTooManyCodes, Request: v.ID}
	}
	return v, check, &Error{Kind: KindWrongCode, Request: v.ID}
}

// Refuse takes a code that is not compared, since its number has seen too many wrong
// ones, and ends the verification in FAILED with [KindTooManyCodes]. The check is part
// of the history. A verification that is over returns [KindNotFound].
func (v Verification) Refuse(code PIN, ipAddress string, now time.Time) (Verification, Check, error) {
	if !v.running(now) {
		return v, Check{}, &Error{Kind: KindNotFound, Request: v.ID}
	}
	check := Check{
		Verification: v.ID, Generation: v.Generation, Code: code,
		IPAddress: ipAddress, ReceivedAt: now,
	}
	v, err := v.Exhaust(now)
	return v, check, err
}

// Exhaust ends a verification that runs in FAILED with [KindTooManyCodes], since a
// wrong code was the last that its number may see for now.
func (v Verification) Exhaust(now time.Time) (Verification, error) {
	return v.end(Failed, now), &Error{Kind: KindTooManyCodes, Request: v.ID}
}
