package verify

import (
	"cmp"
	"io"
	"slices"
	"time"
)

// Status is the state of a verification. The words are those of the v1 search response.
type Status string

// A verification is in progress until one of the other four ends it for good.
const (
	InProgress Status = "IN PROGRESS"
	Success    Status = "SUCCESS"   // the right code was submitted in time
	Failed     Status = "FAILED"    // three wrong codes for one PIN
	Expired    Status = "EXPIRED"   // no right code before the end
	Cancelled  Status = "CANCELLED" // by the application or an operator
)

// Payment is the payment that a person confirms (PSD2). It is part of the verification and
// never changes: PSD2 RTS article 5 binds the code to amount and payee.
type Payment struct {
	Payee  string // at most 18 characters
	Amount string // decimal, in euros, as shown to the payer
}

// Request is a validated request of an application to verify an address.
type Request struct {
	Account    string  // its API key
	To         Address // that is verified, and the default of steps
	Brand      string  // at most 18 characters; "" for payments
	Payment    *Payment
	Sender     string // of steps without one; "" for the default of the installation
	Locale     string // such as "en-gb"
	CodeLength int    // of generated PINs
	ChosenPIN  PIN    // by the application; zero to generate one
	Workflow   Workflow

	// Input of the velocity rules only; not stored.
	Source  string // address of the client; "" if unknown
	Premium bool   // the number costs more than others
}

// Testing returns the request for a test number: it has a fixed PIN, and nothing is sent.
func (r Request) Testing(pin PIN) Request {
	r.ChosenPIN, r.Workflow.Test = pin, true
	return r
}

// StepAt returns a step of the workflow with its address, sender and PIN policy.
func (r Request) StepAt(seq int) Step {
	s := r.Workflow.Steps[seq]
	if s.To.IsZero() {
		s.To = r.To
	}
	s.From = cmp.Or(s.From, r.Sender)
	s.PINPolicy = cmp.Or(s.PINPolicy, r.Workflow.PINPolicy)
	return s
}

// Addresses returns the distinct addresses of the request: To, then those of steps that
// have their own.
func (r Request) Addresses() []Address {
	list := []Address{r.To}
	for _, s := range r.Workflow.Steps {
		if !s.To.IsZero() && !slices.Contains(list, s.To) {
			list = append(list, s.To)
		}
	}
	return list
}

// Verification is one attempt to prove that a person can be reached at an address, with its
// whole history. It is a value: rules return a changed copy in a [Change] and never modify
// their receiver.
type Verification struct {
	ID ID
	Request
	Price Money  // see Charged
	Payer string // the account whose balance pays; "" for Account
	Paid  bool   // the price was charged and not refunded

	// Unsent marks an event that certainly never left. The end of the verification then
	// makes a refund due.
	Unsent bool

	Status      Status
	SubmittedAt time.Time
	FinalizedAt time.Time // zero while in progress

	PIN          PIN // in force; destroyed at the end
	Generation   int // counts the PINs of the verification from 1
	PINExpiresAt time.Time
	Tries        int // wrong codes for this PIN

	Events []Event // in order of their steps
	Checks []Check // in order of their arrival
	Facts  []Fact  // the newest, at most maxFacts

	// NextAt is when the next step is due: the next event, or the end. Zero after the end.
	NextAt time.Time
	Lease  Lease
}

// FirstEventAt returns the time of the first event; SubmittedAt without one.
func (v Verification) FirstEventAt() time.Time {
	if len(v.Events) == 0 {
		return v.SubmittedAt
	}
	return v.Events[0].StartedAt
}

// LastEventAt returns the time of the newest event; SubmittedAt without one.
func (v Verification) LastEventAt() time.Time {
	if len(v.Events) == 0 {
		return v.SubmittedAt
	}
	return v.Events[len(v.Events)-1].StartedAt
}

// LastEventID returns the id of the newest event; zero without one.
func (v Verification) LastEventID() ID {
	if len(v.Events) == 0 {
		return ID{}
	}
	return v.Events[len(v.Events)-1].ID
}

// Event returns the event at a place; ok is false if there is none.
func (v Verification) Event(seq int) (e Event, ok bool) {
	if seq < 0 || seq >= len(v.Events) {
		return Event{}, false
	}
	return v.Events[seq], true
}

// Open returns the events that were submitted to a carrier and have no recorded outcome.
func (v Verification) Open() (open []Event) {
	for _, e := range v.Events {
		if e.State == EventSubmitting {
			open = append(open, e)
		}
	}
	return open
}

// StepsLeft reports whether a further step exists, beside the end.
func (v Verification) StepsLeft() bool { return !v.stepsTaken() }

// Cost returns the amount that carriers charge the operator, as far as it is known.
func (v Verification) Cost() (sum Money) {
	for _, e := range v.Events {
		sum += e.Cost()
	}
	return sum
}

// PaidBy returns the account whose balance pays for the verification.
func (v Verification) PaidBy() string { return cmp.Or(v.Payer, v.Account) }

// Charged returns the amount that was charged and not refunded.
func (v Verification) Charged() Money {
	if !v.Paid {
		return 0
	}
	return v.Price
}

// Ended reports whether the verification is over for good.
func (v Verification) Ended() bool { return v.Status != InProgress }

// At returns the verification as it stands at now: one past its end is EXPIRED, even
// before a runner has expired the row.
func (v Verification) At(now time.Time) Verification {
	if v.Status == InProgress && !v.running(now) {
		return v.end(Expired, v.endedAt(now))
	}
	return v
}

// FromFuture reports whether a clock that was ahead began the verification or took its
// last step (see [FromFuture]). Such a verification has expired: its end may be years
// away, and until then it would block the number.
func (v Verification) FromFuture(now time.Time) bool { return FromFuture(v.LastEventAt(), now) }

// running reports whether the verification accepts checks, cancels and steps.
func (v Verification) running(now time.Time) bool {
	return v.Status == InProgress && now.Before(v.endsAt()) && !v.FromFuture(now)
}

// end finishes the verification and destroys its secrets.
func (v Verification) end(s Status, now time.Time) Verification {
	v.Status, v.FinalizedAt, v.NextAt = s, now, time.Time{}
	v.PIN, v.ChosenPIN = PIN{}, PIN{}
	return v
}

func (v Verification) pinLives(now time.Time) bool { return now.Before(v.PINExpiresAt) }

func (v Verification) stepsTaken() bool { return len(v.Events) == len(v.Workflow.Steps) }

// endsAt returns the time at which the verification expires if no further step is taken
// early: the end of the last wait, or the expiry of the PIN if that is later.
func (v Verification) endsAt() time.Time {
	end := v.LastEventAt()
	for seq := max(0, len(v.Events)-1); seq < len(v.Workflow.Steps); seq++ {
		end = end.Add(v.Workflow.wait(seq))
	}
	if v.PINExpiresAt.After(end) {
		return v.PINExpiresAt
	}
	return end
}

// endedAt returns the end of a verification that has expired at now: endsAt, or now if the
// verification is from the future.
func (v Verification) endedAt(now time.Time) time.Time {
	if v.FromFuture(now) {
		return now
	}
	return v.endsAt()
}

// withPIN starts a generation at a time. A PIN chosen by the application keeps its value,
// and its tries continue: a guesser keeps the knowledge of earlier tries.
func (v Verification) withPIN(at time.Time, rnd io.Reader) Verification {
	v.Generation++
	v.PINExpiresAt = at.Add(v.Workflow.pinLife())
	if !v.ChosenPIN.IsZero() {
		v.PIN = v.ChosenPIN
		return v
	}
	v.PIN = NewPIN(rnd, v.CodeLength)
	v.Tries = 0
	return v
}
