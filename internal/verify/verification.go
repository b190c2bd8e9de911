package verify

import (
	"cmp"
	"io"
	"slices"
	"time"
)

// Status is the state of a verification, as in the v1 search response.
type Status string

// A verification is in progress until one of the other four ends it.
const (
	InProgress Status = "IN PROGRESS"
	Success    Status = "SUCCESS"   // the right code was submitted in time
	Failed     Status = "FAILED"    // three wrong codes for one PIN
	Expired    Status = "EXPIRED"   // no right code before the end
	Cancelled  Status = "CANCELLED" // ended by the application or an operator
)

// Payment is the payment that a person confirms (PSD2). It never changes: PSD2 RTS article
// 5 binds the code to amount and payee.
type Payment struct {
	Payee  string // at most 18 characters
	Amount string // decimal, in euros, as shown to the payer
}

// Request is an application's validated request to verify an address.
type Request struct {
	Account    string  // its API key
	To         Address // address to verify; steps may override it
	Brand      string  // at most 18 characters; "" for payments
	Payment    *Payment
	Sender     string // default sender of steps; "" for the default of the installation
	Locale     string // such as "en-gb"
	CodeLength int    // length of generated PINs
	ChosenPIN  PIN    // PIN chosen by the application; zero to generate one
	Workflow   Workflow

	// Input of the velocity rules only; not stored.
	Source  string // address of the client; "" if unknown
	Premium bool   // premium rate, shared cost or satellite number
}

// Testing returns the request for a test number, with a fixed PIN and without messages.
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

// Addresses returns the distinct addresses of the request: To, then the addresses of steps.
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
// complete history. It is a value: rules return a changed copy in a [Change] and never
// modify their receiver.
type Verification struct {
	ID ID
	Request
	Price Money  // see Charged
	Payer string // key of the paying account; "" for Account
	Paid  bool   // the price was charged and not refunded

	// Unsent is set if a charged event was never accepted by a carrier. A refund is then
	// due at the end of the verification.
	Unsent bool

	Status      Status
	SubmittedAt time.Time
	FinalizedAt time.Time // zero while in progress

	PIN          PIN // current PIN; destroyed at the end
	Generation   int // number of PINs so far; the first is 1
	PINExpiresAt time.Time
	Tries        int // wrong codes for this PIN

	Events []Event // ordered by step
	Checks []Check // ordered by arrival
	Facts  []Fact  // the newest, at most maxFacts

	// NextAt is the due time of the next step: the next event, or the end. Zero after the
	// end.
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

// Event returns the event with an index. ok is false if it does not exist.
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

// StepsLeft reports whether a step remains before the end.
func (v Verification) StepsLeft() bool { return !v.stepsTaken() }

// Cost returns the known charges of carriers to the operator.
func (v Verification) Cost() (sum Money) {
	for _, e := range v.Events {
		sum += e.Cost()
	}
	return sum
}

// PaidBy returns the key of the account that pays for the verification.
func (v Verification) PaidBy() string { return cmp.Or(v.Payer, v.Account) }

// Charged returns the amount that was charged and not refunded.
func (v Verification) Charged() Money {
	if !v.Paid {
		return 0
	}
	return v.Price
}

// Ended reports whether the verification has ended.
func (v Verification) Ended() bool { return v.Status != InProgress }

// At returns the verification at now: EXPIRED if it is past its end, even if no runner has
// recorded that yet.
func (v Verification) At(now time.Time) Verification {
	if v.Status == InProgress && !v.running(now) {
		return v.end(Expired, v.endedAt(now))
	}
	return v
}

// FromFuture reports whether a clock that was ahead began the verification or took its last
// step (see [FromFuture]). Such a verification counts as expired; otherwise it could block
// the number for years.
func (v Verification) FromFuture(now time.Time) bool { return FromFuture(v.LastEventAt(), now) }

// running reports whether the verification accepts checks, cancels and steps.
func (v Verification) running(now time.Time) bool {
	return v.Status == InProgress && now.Before(v.endsAt()) && !v.FromFuture(now)
}

// end ends the verification and destroys its secrets.
func (v Verification) end(s Status, now time.Time) Verification {
	v.Status, v.FinalizedAt, v.NextAt = s, now, time.Time{}
	v.PIN, v.ChosenPIN = PIN{}, PIN{}
	return v
}

func (v Verification) pinLives(now time.Time) bool { return now.Before(v.PINExpiresAt) }

func (v Verification) stepsTaken() bool { return len(v.Events) == len(v.Workflow.Steps) }

// endsAt returns the expiry of the verification if no step is triggered early: the end of
// the last wait, or the later expiry of the PIN.
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

// endedAt returns the end of a verification that has expired by now: endsAt, or now if the
// verification is from the future.
func (v Verification) endedAt(now time.Time) time.Time {
	if v.FromFuture(now) {
		return now
	}
	return v.endsAt()
}

// withPIN starts a generation. A PIN chosen by the application keeps its value and its
// tries, since earlier guesses still narrow it down.
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
