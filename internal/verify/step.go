package verify

import (
	"io"
	"slices"
	"time"
)

// CappedEvent is the error of an event that was not sent because its number is at a cap.
const CappedEvent = "capped"

// Runner is the input of the rules for due rows.
type Runner struct {
	Node     string
	InFlight func(event ID) bool // reports whether the node is still submitting the event
	OnFailure
}

// Step takes the due step: the next event; a refused event if a cap forbids the message; or
// the end, if all steps were taken or the plan ran out during an outage. A step taken
// within half a second counts from NextAt: event, PIN and next step are timed as if taken
// then. History is read and changed at that time, so that caps and events agree. If the
// step is not due, only the lease changes. v has no open event: an open event has a lease,
// and Recover handles the end of a lease.
func (v Verification) Step(r Runner, h History, now time.Time, rnd io.Reader) Change {
	c := v.change()
	c.step(r, h, now, rnd)
	return *c
}

// Recover handles the end of a lease whose node reported no outcome. Of the open events
// that this node is not submitting, the newest is resent if Resend allows it, and the
// others get an unknown outcome. Without a resend, a due step is taken.
func (v Verification) Recover(r Runner, h History, now time.Time, rnd io.Reader) Change {
	c := v.change()
	c.settleOpen(r, now)
	if c.Send == nil {
		c.step(r, h, now, rnd)
	}
	return *c
}

// settleOpen resends the open events that no process submits any more, or sets their state
// to unknown.
func (c *Change) settleOpen(r Runner, now time.Time) {
	for _, e := range c.Verification.Open() {
		switch {
		case r.InFlight(e.ID):
		case c.Verification.Resend(e, now):
			c.Send = c.resend(e.Seq, now)
			c.Verification.acquire(r.Node, now)
		default:
			c.Verification.Events[e.Seq].State = EventUnknown
			c.update(e, r.OnFailure, now)
		}
	}
}

// LeaseForRefund acquires the lease for a node that will refund an ended verification.
func (v Verification) LeaseForRefund(node string, now time.Time) Change {
	c := v.change()
	c.Verification.acquire(node, now)
	return *c
}

// step implements [Verification.Step].
func (c *Change) step(r Runner, h History, now time.Time, rnd io.Reader) {
	v := c.Verification
	if !v.StepDue(now) {
		c.keepLease(r, now)
		return
	}
	c.Stepped, c.Late = true, max(0, now.Sub(v.NextAt))
	if v.stepsTaken() || !v.running(now) {
		c.finish(Expired, v.endedAt(now), now)
		c.keepLease(r, now)
		return
	}
	at := v.stepTime(now)
	if by := h.MaySend(at); by != nil {
		e := c.addEvent(at, rnd)
		e.State, e.Error = EventRefused, CappedEvent
		c.capped(e.Seq, by, now)
		c.fact(Fact{At: now, Kind: EventReported, Event: e.Seq, State: e.State})
		c.keepLease(r, now)
		return
	}
	c.nextEvent(at, now, r.Node, rnd)
	c.History = h.Sent(at)
}

// keepLease extends the lease while this node still submits an event of the verification,
// and releases it otherwise.
func (c *Change) keepLease(r Runner, now time.Time) {
	v := &c.Verification
	switch {
	case !slices.ContainsFunc(v.Open(), func(e Event) bool { return r.InFlight(e.ID) }):
		v.release()
	case v.Lease.Node != r.Node:
		v.acquire(r.Node, now)
	default:
		v.Lease.Until = v.leaseEnd(now)
	}
}
