package verify

import "time"

// FutureTolerance is the greatest lead of a stored time over the clock that still counts
// as a difference between clocks. It exceeds the difference that nodes may have (seconds)
// and a usual correction of the clock, and is shorter than the life of a verification.
const FutureTolerance = 5 * time.Minute

// FromFuture reports whether t is more than [FutureTolerance] after now: a clock that
// was ahead wrote it. State with such a time is ignored, everywhere in the program. It
// must be the time at which something happened, not a deadline.
func FromFuture(t, now time.Time) bool { return t.Sub(now) > FutureTolerance }
