package verify

import "time"

// Reason explains a due time, and is stored with it.
type Reason string

// The reasons. Each has one handler in the engine.
const (
	NotDue      Reason = ""
	StepDue     Reason = "step"   // the next step of the workflow
	ExpiryDue   Reason = "expiry" // the end, after the last step
	LeaseEnded  Reason = "lease"  // the node with the lease has not reported an outcome
	RefundCheck Reason = "refund" // an event of an ended verification was never accepted by a carrier
)

// Lease is the temporary ownership of a verification by the node that delivers its events.
// Until it ends, other nodes act on the row only for requests. The zero value is no lease.
type Lease struct {
	Node  string // name of the owner; "" without a lease
	Until time.Time
	Token int64 // fencing token: grows with each lease; a write with an older token is stale
}

// LeaseTime is the duration of a lease without a renewal.
const LeaseTime = 10 * time.Second

// Due returns the time at which a runner must process the verification, and the reason;
// zero and NotDue if never. A lease hides other reasons until it ends.
func (v Verification) Due() (at time.Time, why Reason) {
	switch {
	case v.Lease.Node != "":
		return v.Lease.Until, LeaseEnded
	case v.RefundDue():
		return v.FinalizedAt, RefundCheck
	case v.Ended():
		return time.Time{}, NotDue
	case v.stepsTaken():
		return v.NextAt, ExpiryDue
	}
	return v.NextAt, StepDue
}

// StepDue reports whether the next step, or the end, is due at now. The end of a
// verification from the future is always due.
func (v Verification) StepDue(now time.Time) bool {
	return v.Status == InProgress && (!now.Before(v.NextAt) || v.FromFuture(now))
}

// acquire assigns the lease to a node.
func (v *Verification) acquire(node string, now time.Time) {
	v.Lease = Lease{Node: node, Until: v.leaseEnd(now), Token: v.Lease.Token + 1}
}

// release ends the lease. Later writes with its token are stale.
func (v *Verification) release() { v.Lease = Lease{Token: v.Lease.Token + 1} }

// leaseEnd returns the end of a lease that is acquired or extended at now. It is never
// later than the next step: a slow delivery must not delay the next event.
func (v Verification) leaseEnd(now time.Time) time.Time {
	until := now.Add(LeaseTime)
	if v.Status == InProgress && v.NextAt.Before(until) {
		return v.NextAt
	}
	return until
}
