package verify

import "time"

// leastLife is the remaining lifetime below which an event gets a new PIN. A
// message states its lifetime in whole minutes, so less cannot be stated.
const leastLife = time.Minute

// Delays up to these count as zero; otherwise milliseconds of processing would turn "5
// minutes" into "4 minutes". Speed does not divide them, since they are delays of the
// machine.
const (
	stepDelay     = 500 * time.Millisecond // from the due time to the step
	handOverDelay = 2 * time.Second        // from the event to the submission of its message
)

// StatedLife returns the remaining lifetime to state in a message of event e that is
// submitted at now. It is measured at e.StartedAt if now is within handOverDelay, otherwise
// at now, as after a retry or a crash. The result is a duration of the plan, not divided by
// Speed. v must still have the PIN of e.
func (v Verification) StatedLife(e Event, now time.Time) time.Duration {
	at := e.StartedAt
	if now.Sub(at) > handOverDelay {
		at = now
	}
	return min(v.Workflow.unscale(v.PINExpiresAt.Sub(at)), v.Workflow.PINLife)
}

// stepTime returns the time from which a due step taken at now is counted: NextAt if the
// delay is at most stepDelay, otherwise now. Small delays thus neither add up over the plan
// nor change the stated lifetime. With a high Speed or a short PIN life the allowed delay
// is shorter, so that the step still sends a valid PIN.
func (v Verification) stepTime(now time.Time) time.Time {
	allowed := min(stepDelay, v.Workflow.scale(leastLife)/2, v.Workflow.pinLife()/2)
	if now.Sub(v.NextAt) <= allowed {
		return v.NextAt
	}
	return now
}

// keepsPIN reports whether an event counted from at, and taken at now, sends the current
// PIN. A PIN chosen by the application is kept until it expires; a generated PIN needs
// leastLife.
func (v Verification) keepsPIN(at, now time.Time) bool {
	if v.Generation == 0 || v.StepAt(len(v.Events)).PINPolicy == RenewPIN || !v.pinLives(now) {
		return false
	}
	return !v.ChosenPIN.IsZero() || v.PINExpiresAt.Sub(at) >= v.Workflow.scale(leastLife)
}
