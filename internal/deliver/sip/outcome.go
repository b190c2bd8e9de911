package sip

import (
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Outcome is how a call ended, in a word.
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"    // and the code was said, at least once
	HungUp      Outcome = "hung up"     // answered, but before the code was said
	Held        Outcome = "held"        // answered on hold, so that the code was not said
	Busy        Outcome = "busy"        // the person is on another call
	NoAnswer    Outcome = "no answer"   // it rang, and nobody came
	Rejected    Outcome = "rejected"    // the person, or the phone, said no
	Unreachable Outcome = "unreachable" // no such number, or no phone there now
	Cancelled   Outcome = "cancelled"   // by us, since nobody waits for the code any more
	Failed      Outcome = "failed"      // of the trunk: another may do better
)

// outcomes returns all outcomes.
func outcomes() []Outcome {
	return []Outcome{Answered, HungUp, Held, Busy, NoAnswer, Rejected, Unreachable, Cancelled, Failed}
}

// event is what an outcome means for the event that the call was for.
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

// event returns the state of the event that the call was for. A code that was said to
// a side that gave no sign of life may not have been heard.
func (r Result) event() verify.EventState {
	if r.Outcome == Answered && !r.Heard {
		return verify.EventAnswered
	}
	return r.Outcome.event()
}

// outcomeOf tells what a final response (RFC 3261 §21, and the causes that
// gateways map to it by RFC 3398 §8.2.6.1) says about a call. Whether it is about
// the person or about the trunk decides if another trunk is asked.
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

// ofTrunk reports whether a call that ended with the response, before the phone
// rang, may go through over another trunk: the trunk did not answer in time
// (408), does not let us in (401, 403, 407), has no capacity (480 is the person),
// or is broken (5xx). A busy person is busy over every trunk.
func ofTrunk(status int) bool {
	switch status {
	case 401, 403, 407, 408, 421, 429, 494:
		return true
	}
	return status >= 500 && status < 600 || outcomeOf(status) == Failed
}

// temporary reports whether the trunk itself may do better later.
func temporary(status int) bool {
	return status == 408 || status == 429 || status >= 500 && status < 600
}

// StatusError is a call's final response that is no success.
type StatusError struct {
	Status int
	Reason string // the phrase of the response, printable, with numbers masked

	RetryAfter time.Duration // 0 if the response does not give it
	MinExpires time.Duration // Min-Expires of a 423; 0 if the response does not give it
}

func (e *StatusError) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Reason) }

// Code returns the status and its phrase, for deliver.Code.
func (e *StatusError) Code() string { return e.Error() }
