package sip

import (
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Outcome classifies the end of a call. It is a metric label.
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"    // the code was played at least once
	HungUp      Outcome = "hung up"     // answered, but ended before the end of the first code
	Held        Outcome = "held"        // answered on hold; the code was not played
	Busy        Outcome = "busy"        // the callee is on another call
	NoAnswer    Outcome = "no answer"   // ringing timed out
	Rejected    Outcome = "rejected"    // the callee or the phone declined
	Unreachable Outcome = "unreachable" // unknown number, no phone available, or no usable audio
	Cancelled   Outcome = "cancelled"   // cancelled by us: the code is no longer needed
	Failed      Outcome = "failed"      // the trunk failed; another trunk may succeed
)

// outcomes returns all outcomes.
func outcomes() []Outcome {
	return []Outcome{Answered, HungUp, Held, Busy, NoAnswer, Rejected, Unreachable, Cancelled, Failed}
}

// event returns the state of the call's event for an outcome.
func (o Outcome) event() verify.EventState {
	switch o {
	case Answered:
		return verify.EventDelivered
	case NoAnswer, Cancelled:
		return verify.EventExpired
	case Rejected:
		return verify.EventRejected
	case Held:
		return verify.EventHeld
	case HungUp, Busy, Unreachable, Failed:
	}
	return verify.EventUndeliverable
}

// event returns the state of the call's event. An answered call without evidence that
// our audio arrived is [verify.EventAnswered], not delivered.
func (r Result) event() verify.EventState {
	if r.Outcome == Answered && !r.Heard {
		return verify.EventAnswered
	}
	return r.Outcome.event()
}

// outcomeOf returns the outcome for a final response that is not a success (RFC 3261
// §21; gateways map ISUP causes to responses by RFC 3398 §8.2.6.1). Failed concerns the
// trunk, all others the callee.
func outcomeOf(status int) Outcome {
	switch status {
	case 486, 600:
		return Busy
	case 408, 480, 487:
		return NoAnswer
	case 403, 433, 603, 607, 608:
		return Rejected
	case 404, 410, 413, 414, 416, 484, 485, 488, 604, 606:
		return Unreachable
	}
	if status >= 600 {
		return Rejected
	}
	return Failed
}

// ofTrunk reports whether a response received before ringing concerns the trunk, such
// as a timeout (408), a refusal of us (401, 403, 407) or a failure (5xx). Then another
// trunk may succeed. A busy (486) or unavailable (480) callee is so over every trunk.
func ofTrunk(status int) bool {
	switch status {
	case 401, 403, 407, 408, 421, 429, 494:
		return true
	}
	return status >= 500 && status < 600 || outcomeOf(status) == Failed
}

// temporary reports whether the same trunk may succeed later.
func temporary(status int) bool {
	return status == 408 || status == 429 || status >= 500 && status < 600
}

// StatusError is a final response that is not a success.
type StatusError struct {
	Status int
	Reason string // reason phrase, printable, with numbers masked

	RetryAfter time.Duration // Retry-After; 0 if absent
	MinExpires time.Duration // Min-Expires of a 423; 0 if absent
}

func (e *StatusError) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Reason) }

// Code returns the status and its reason phrase, for deliver.Code.
func (e *StatusError) Code() string { return e.Error() }
