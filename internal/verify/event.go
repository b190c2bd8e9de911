package verify

import (
	"slices"
	"strconv"
	"time"
)

// EventState is the known state of one delivery attempt.
type EventState string

const (
	// EventSubmitting is committed before the message leaves for a carrier. After a crash
	// the message may or may not have left.
	EventSubmitting EventState = "submitting"
	// EventAccepted means that a carrier accepted the message.
	EventAccepted EventState = "accepted"
	// EventRefused means that every carrier refused it, or that no route exists.
	EventRefused EventState = "refused"
	// EventUnknown means that the outcome was lost. A late response or a receipt may
	// still report it.
	EventUnknown EventState = "unknown"

	// EventDelivered means that a receipt confirmed delivery to the phone.
	EventDelivered EventState = "delivered"
	// EventAnswered means that a call was answered and the code was spoken, without
	// evidence of a listener: no media arrived, or the call ended within a second.
	EventAnswered EventState = "answered"
	// EventHeld means that a call was answered on hold until its end.
	EventHeld EventState = "held"
	// EventUndeliverable means that the carrier gave up.
	EventUndeliverable EventState = "undeliverable"
	// EventExpired means that the message ran out of time before it reached the phone or
	// before a carrier could accept it.
	EventExpired EventState = "expired"
	// EventRejected means that the carrier rejected the message after accepting it.
	EventRejected EventState = "rejected"
)

// MaxAttempts bounds the submissions of one event: a second one is allowed if a crash or a
// lost response hid the outcome of the first.
const MaxAttempts = 2

// Event is one delivery attempt of a PIN on a channel.
type Event struct {
	ID         ID
	Seq        int // index in its verification, from 0
	Channel    Channel
	Generation int // generation of its PIN
	State      EventState
	Attempt    int       // submissions so far, see MaxAttempts
	StartedAt  time.Time // time of the step; its due time if taken within 0.5 s
	Carrier    string    // name in the configuration; "" until known
	Error      string    // the carrier's error code, or a remark; "" without an error
	Failures   Failures  // submissions that no carrier accepted
	Costs      []Cost    // charges of carriers to the operator
	Parts      []Part    // parts accepted by carriers, by attempt and index
}

// EventKey identifies an event by its verification and index.
type EventKey struct {
	Verification ID
	Seq          int
}

// String returns the verification and the index, such as 0a1b…/0.
func (k EventKey) String() string { return k.Verification.String() + "/" + strconv.Itoa(k.Seq) }

// Cost returns the sum of the costs.
func (e Event) Cost() (sum Money) {
	for _, c := range e.Costs {
		sum += c.Amount
	}
	return sum
}

// Failed reports whether the event certainly cannot reach the person.
func (e Event) Failed() bool {
	switch e.State {
	case EventRefused, EventUndeliverable, EventExpired, EventRejected, EventHeld:
		return true
	case EventSubmitting, EventAccepted, EventUnknown, EventDelivered, EventAnswered:
	}
	return false
}

// NeverLeft reports whether certainly no carrier accepted the event: all refused it, or it
// expired first. After two attempts the answer is false, since the first may have left.
func (e Event) NeverLeft() bool {
	if e.Attempt != 1 {
		return false
	}
	// An event that expired with a carrier was accepted before.
	return e.State == EventRefused || e.State == EventExpired && e.Carrier == ""
}

// Sendable reports whether e may still be submitted at now: it is the newest event, its PIN
// is valid, and the next step is not due.
func (v Verification) Sendable(e Event, now time.Time) bool {
	return e.Seq == len(v.Events)-1 && v.Status == InProgress && v.pinLives(now) && now.Before(v.NextAt) && !v.FromFuture(now)
}

// Resend reports whether an open event should be submitted again with the same PIN, after
// a crash or a lost response hid its outcome. It allows this at most once, and only while
// Sendable: delivery is at least once, money exactly once.
func (v Verification) Resend(e Event, now time.Time) bool {
	return e.State == EventSubmitting && e.Attempt < MaxAttempts && v.Sendable(e, now)
}

// Outcome is a node's report about an event that it submitted.
type Outcome struct {
	Event    int // index of the event
	Attempt  int
	Token    int64 // fencing token of the lease at the submission
	State    EventState
	Carrier  string
	Error    string
	Failures Failures
	Cost     Money
	Refs     []string // the carrier's ids of the parts, in order; "" for a part without receipts

	// Early maps refs to receipts that arrived before the carrier's response.
	Early map[string]Part
}

// OnFailure configures the consequence of a failed event.
type OnFailure struct {
	NextStep bool                  // make the next step due immediately
	Failed   func(EventState) bool // reports whether a state counts as failed
}

// Outcome records the result of a submission with its early receipts, and releases the
// lease unless another event is open or another node has it. A stale outcome (of an older
// attempt, or for an event with a known outcome) changes neither state nor error, but its
// parts and cost count.
func (v Verification) Outcome(o Outcome, f OnFailure, now time.Time) Change {
	c := v.change()
	e, ok := v.Event(o.Event)
	if !ok {
		return *c
	}
	if o.Attempt >= e.Attempt && (e.State == EventSubmitting || e.State == EventUnknown) {
		changed := &c.Verification.Events[o.Event]
		changed.State, changed.Attempt, changed.Carrier, changed.Error = o.State, o.Attempt, o.Carrier, o.Error
		changed.Failures = o.Failures
		if o.State != e.State { // an unknown outcome may be recorded twice
			c.fact(Fact{At: now, Kind: EventSent, Event: o.Event, State: o.State, Carrier: o.Carrier})
		}
	}
	c.addCost(o.Event, Cost{Attempt: o.Attempt, Part: -1, Amount: o.Cost}, now)
	for i, ref := range o.Refs {
		c.accept(o.Event, Part{Attempt: o.Attempt, Seq: i, Count: len(o.Refs), Carrier: o.Carrier, Ref: ref, State: EventAccepted}, o.Early)
	}
	if c.Verification.Lease.Token == o.Token && len(c.Verification.Open()) == 0 {
		c.Verification.Lease = Lease{Token: o.Token}
	}
	c.update(c.Verification.Events[o.Event], f, now)
	return *c
}

// Retry counts a second attempt of an open event before its submission. ok is false if
// Resend forbids it.
func (v Verification) Retry(seq int, failures Failures, now time.Time) (_ Change, ok bool) {
	e, known := v.Event(seq)
	if !known || !v.Resend(e, now) {
		return Change{}, false
	}
	c := v.change()
	c.resend(seq, now)
	c.Verification.Events[seq].Failures = failures
	return *c, true
}

// HandOff ends the lease of a token now, so that another node resumes the event interrupted
// by a shutdown. An expired lease keeps its end. ok is false if the token is stale.
func (v Verification) HandOff(token int64, now time.Time) (_ Change, ok bool) {
	if v.Lease.Token != token || v.Lease.Node == "" {
		return Change{}, false
	}
	c := v.change()
	if now.Before(v.Lease.Until) {
		c.Verification.Lease.Until = now
	}
	return *c, true
}

// accept adds a part that a carrier accepted. A ref already recorded for the same part
// keeps its state: after a commit of unknown outcome the acceptance is recorded twice.
func (c *Change) accept(seq int, p Part, early map[string]Part) {
	if p.Ref == "" {
		return // without a ref receipts cannot be matched
	}
	if receipt, ok := early[p.Ref]; ok {
		p = p.Report(receipt.State, receipt.Error)
		p.ReportedAt = receipt.ReportedAt
	}
	e := &c.Verification.Events[seq]
	c.Refs = append(c.Refs, Ref{p.Carrier, p.Ref})
	i := slices.IndexFunc(e.Parts, func(known Part) bool {
		return known.Carrier == p.Carrier && known.Ref == p.Ref && known.Attempt == p.Attempt && known.Seq == p.Seq
	})
	switch {
	case i < 0:
		e.Parts = slices.SortedStableFunc(slices.Values(append(slices.Clone(e.Parts), p)), Part.compare)
	case p.State != EventAccepted:
		e.Parts = slices.Clone(e.Parts)
		e.Parts[i] = p
	}
}

// update derives the state of an event from its parts, and applies the consequences of a
// failure. before is the event before the caller's change.
func (c *Change) update(before Event, f OnFailure, now time.Time) {
	v := &c.Verification
	e := &v.Events[before.Seq]
	*e = e.Reported()
	if e.State != before.State || e.Carrier != before.Carrier || e.Error != before.Error {
		c.fact(Fact{At: now, Kind: EventReported, Event: e.Seq, State: e.State, Carrier: e.Carrier})
	}
	if f.Failed == nil || !f.Failed(e.State) {
		return
	}
	if f.NextStep && v.accelerate(*e, now) && len(v.Open()) == 0 {
		// The newest event has its outcome, so no node works on the verification. If an
		// event is open, the end of the lease leads to the next step.
		v.release()
	}
	if e.NeverLeft() && v.Charged() != 0 {
		v.Unsent = true
	}
}

// accelerate makes the next step due at now because e failed. It returns false if a newer
// event exists, no step is left, or the verification has ended.
func (v *Verification) accelerate(e Event, now time.Time) bool {
	if e.Seq != len(v.Events)-1 || v.stepsTaken() || !v.running(now) || !now.Before(v.NextAt) {
		return false
	}
	v.NextAt = now
	return true
}
