package verify

import (
	"io"
	"time"
)

// Cancel ends the verification. It returns KindCancelTooEarly before Workflow.CancelAfter
// has passed, KindCancelTooLate after a second event, and KindNotFound if the verification
// has ended.
func (v Verification) Cancel(now time.Time) (Change, error) {
	switch {
	case !v.running(now):
		return Change{}, &Error{Kind: KindNotFound, Request: v.ID}
	case len(v.Events) > 1:
		return Change{}, &Error{Kind: KindCancelTooLate, Request: v.ID}
	case now.Before(v.SubmittedAt.Add(v.Workflow.scale(v.Workflow.CancelAfter))):
		return Change{}, &Error{Kind: KindCancelTooEarly, Request: v.ID}
	}
	c := v.change()
	c.finish(Cancelled, now, now)
	return *c, nil
}

// Trigger takes the next step now. The node acquires the lease even from another node, and
// overtakes its step. Trigger returns KindNoMoreEvents if all steps were taken,
// KindNotFound if the verification has ended, and KindBlocked at a cap.
func (v Verification) Trigger(node string, h History, now time.Time, rnd io.Reader) (Change, error) {
	switch {
	case !v.running(now):
		return Change{}, &Error{Kind: KindNotFound, Request: v.ID}
	case v.stepsTaken():
		return Change{}, &Error{Kind: KindNoMoreEvents, Request: v.ID}
	}
	if by := h.MaySend(now); by != nil {
		return Change{}, &Error{Kind: KindBlocked, Request: v.ID, By: *by}
	}
	c := v.change()
	c.nextEvent(now, now, node, rnd)
	c.History = h.Sent(now)
	return *c, nil
}

// Withdraw ends a verification at any age, for an operator that erases its number:
// CANCELLED, or EXPIRED if it is past its end. It keeps a lease.
func (v Verification) Withdraw(now time.Time) Change {
	c := v.change()
	switch {
	case v.Ended():
	case v.running(now):
		c.finish(Cancelled, now, now)
	default:
		c.finish(Expired, v.endedAt(now), now)
	}
	return *c
}
