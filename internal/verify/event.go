package verify

import "time"

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
	// EventUnknown means that the outcome was lost and may not be found out.
	EventUnknown EventState = "unknown"
)

// MaxAttempts bounds how often one event is handed to a carrier: once, and once
// more when a crash hid the outcome of the first time, or it could not be sent.
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
	StartedAt    time.Time // when the step was taken, not when a carrier accepted
	Carrier      string    // name in the configuration; "" before it is known
	CarrierRef   string    // the carrier's own message id, if it gave one
	Cost         Money     // what the carrier charges the operator, if known
}

// Resend reports whether an event of v that a crash left in EventSubmitting
// goes out once more, with the same PIN. It does so at most once, and only
// while that helps: the verification runs, its PIN lives, and the next step
// is not due yet (design.md §4.4: money exactly once, delivery at least once).
func (v Verification) Resend(e Event, now time.Time) bool {
	return e.State == EventSubmitting &&
		e.Attempt < MaxAttempts &&
		e.Seq == v.Events-1 &&
		v.Status == InProgress &&
		v.pinLives(now) &&
		now.Before(v.DueAt)
}
