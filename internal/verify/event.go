package verify

import (
	"strconv"
	"time"
)

// EventState is what is known of one delivery attempt.
type EventState string

const (
	// EventSubmitting is committed before the first byte leaves for a carrier.
	// Found after a crash it means: the message may or may not have gone out.
	EventSubmitting EventState = "submitting"
	// EventAccepted means that a carrier took the message.
	EventAccepted EventState = "accepted"
	// EventRefused means that every carrier said no, or that none was routed.
	EventRefused EventState = "refused"
	// EventUnknown means that the outcome was lost. A late answer or a receipt may
	// still tell.
	EventUnknown EventState = "unknown"

	// EventDelivered means that it reached the phone, by a receipt.
	EventDelivered EventState = "delivered"
	// EventAnswered means that a call was answered and the code was said, without a
	// sign that it was heard: no media came back, or the call ended within a second.
	EventAnswered EventState = "answered"
	// EventHeld means that a call was answered on hold and stayed so.
	EventHeld EventState = "held"
	// EventUndeliverable means that the carrier gave up.
	EventUndeliverable EventState = "undeliverable"
	// EventExpired means that its time was over before it reached the phone, or
	// before a carrier could take it.
	EventExpired EventState = "expired"
	// EventRejected means that the carrier turned it down after all.
	EventRejected EventState = "rejected"
)

// CappedEvent is the remark on an event that was not sent, since its number had seen
// too many (see Verification.StepCapped).
const CappedEvent = "capped"

// MaxAttempts bounds how often one event leaves for a carrier: once, and once more
// when a crash or a lost answer hid the outcome of the first time.
const MaxAttempts = 2

// Event is one delivery attempt of a PIN on a channel.
type Event struct {
	ID           ID
	Verification ID
	Seq          int // 0 is the first event of the verification
	Channel      Channel
	Generation   int // of the PIN it carries
	State        EventState
	Attempt      int       // times handed to a carrier, see MaxAttempts
	StartedAt    time.Time // due time of a step taken within 0.5 s of it, otherwise when the step was taken
	Carrier      string    // name in the configuration; "" before it is known
	Error        string    // the carrier's own code for what went wrong, or a remark on what arrived; "" for none
	Failures     Failures  // hand-overs that no carrier accepted
	Cost         Money     // what the carrier charges the operator, if known
}

// EventKey names an event, as the store finds it: by its place in its verification.
type EventKey struct {
	Verification ID
	Seq          int
}

// Key names the event.
func (e Event) Key() EventKey { return EventKey{e.Verification, e.Seq} }

// String is the verification and the place, such as 0a1b…/0.
func (k EventKey) String() string { return k.Verification.String() + "/" + strconv.Itoa(k.Seq) }

// Failed reports whether the event is known not to reach the person.
func (e Event) Failed() bool {
	switch e.State {
	case EventRefused, EventUndeliverable, EventExpired, EventRejected, EventHeld:
		return true
	case EventSubmitting, EventAccepted, EventUnknown, EventDelivered, EventAnswered:
	}
	return false
}

// Hasten lets the next step fall due at now because e failed, which otherwise
// waits its time. An answered call without a sign that it was heard may count as
// failed; that is the caller's decision. ok is false when nothing changes: e is not
// the last event any more, no step is left, or the verification is over.
func (v Verification) Hasten(e Event, now time.Time) (_ Verification, ok bool) {
	if !e.Failed() && e.State != EventAnswered || e.Seq != v.Events-1 || v.stepsTaken() || !v.running(now) || !now.Before(v.DueAt) {
		return v, false
	}
	v.DueAt = now
	return v, true
}

// Sendable reports whether e may still leave for a carrier at now: nothing came
// after it, and the person may still answer.
func (v Verification) Sendable(e Event, now time.Time) bool {
	return e.Seq == v.Events-1 && v.Status == InProgress && v.pinLives(now) && now.Before(v.DueAt) && !v.FromFuture(now)
}

// Resend reports whether an event of v that was left in EventSubmitting, since a
// crash or a lost answer hid its outcome, goes out once more, with the same PIN.
// It does so at most once, and only while that helps: the verification runs, its
// PIN lives, and the next step is not due yet (design.md §4.4: money exactly once,
// delivery at least once).
func (v Verification) Resend(e Event, now time.Time) bool {
	return e.State == EventSubmitting && e.Attempt < MaxAttempts && v.Sendable(e, now)
}
