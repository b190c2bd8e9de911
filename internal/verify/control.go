package verify

import (
	"io"
	"time"
)

// Cancel ends the verification. It is refused with [KindCancelTooEarly] before
// Workflow.CancelAfter has passed, with [KindCancelTooLate] once a second event
// was sent, and with [KindNotFound] when the verification is over.
func (v Verification) Cancel(now time.Time) (Verification, error) {
	switch {
	case !v.running(now):
		return v, &Error{Kind: KindNotFound, Request: v.ID}
	case v.Events > 1:
		return v, &Error{Kind: KindCancelTooLate, Request: v.ID}
	case now.Before(v.SubmittedAt.Add(v.Workflow.scale(v.Workflow.CancelAfter))):
		return v, &Error{Kind: KindCancelTooEarly, Request: v.ID}
	}
	return v.end(Cancelled, now), nil
}

// Trigger takes the next step now instead of waiting for it. It is refused with
// [KindNoMoreEvents] when all steps were taken and with [KindNotFound] when the
// verification is over.
func (v Verification) Trigger(now time.Time, rnd io.Reader) (Verification, Event, error) {
	switch {
	case !v.running(now):
		return v, Event{}, &Error{Kind: KindNotFound, Request: v.ID}
	case v.stepsTaken():
		return v, Event{}, &Error{Kind: KindNoMoreEvents, Request: v.ID}
	}
	v, e := v.nextEvent(now, now, rnd)
	return v, e, nil
}

// Withdraw ends the verification whatever its state, where an operator wants it gone:
// CANCELLED, or EXPIRED if its end has come already.
func (v Verification) Withdraw(now time.Time) Verification {
	v = v.At(now)
	if v.Status != InProgress {
		return v
	}
	return v.end(Cancelled, now)
}
