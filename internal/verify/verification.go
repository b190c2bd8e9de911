package verify

import (
	"io"
	"time"
)

// Status is the state of a verification. The words are those of the v1 search
// answer.
type Status string

// A verification is in progress until one of the four others ends it for good.
const (
	InProgress Status = "IN PROGRESS"
	Success    Status = "SUCCESS"   // the right code was typed in time
	Failed     Status = "FAILED"    // three wrong codes for one PIN
	Expired    Status = "EXPIRED"   // no right code before the end
	Cancelled  Status = "CANCELLED" // by the application
)

// Payment is what the person confirms in a payment verification (PSD2). It is
// part of the verification and never changes (PSD2 RTS article 5: the code is
// bound to amount and payee).
type Payment struct {
	Payee  string // at most 18 characters
	Amount string // decimal, in euros, as it is shown to the payer
}

// Request is an application's wish to verify a number, after it was read and
// validated and before anything was decided.
type Request struct {
	Account    string // its API key
	Number     string // E.164 digits without "+"
	Country    string // ISO 3166-1 alpha-2 in capitals; "" where a number has none
	Brand      string // at most 18 characters; "" for payments
	Payment    *Payment
	Sender     string // "" for the default
	Locale     string // such as "en-gb"
	CodeLength int    // of generated PINs
	ChosenPIN  PIN    // by the application; zero to generate one
	Workflow   Workflow

	// What the rules against fraud look at, and nobody keeps.
	Source  string // address of who asks for it; "" if that is not known
	Premium bool   // the number costs more than others
}

// Testing is the request as a test number's: it has a fixed PIN, and nothing is sent.
func (r Request) Testing(pin PIN) Request {
	r.ChosenPIN, r.Workflow.Test = pin, true
	return r
}

// Verification is one attempt to prove that a person can be reached at a
// number. Its fields are facts; rules are methods.
type Verification struct {
	ID ID
	Request
	Price Money  // what it costs, see Charged
	Payer string // the account whose balance pays; "" for Account
	Paid  bool   // the price was charged, and not given back
	Cost  Money  // what carriers charge the operator for its events, as far as known

	// Unsent says that an event of it never left, and that nobody has asked since
	// whether that is a reason to give the price back.
	Unsent bool

	Status      Status
	SubmittedAt time.Time
	FinalizedAt time.Time // zero while in progress

	PIN          PIN // in force now; destroyed at the end
	Generation   int // counts the PINs of this verification from 1
	PINExpiresAt time.Time
	Tries        int // wrong codes for this PIN

	Events       int // steps taken so far
	FirstEventAt time.Time
	LastEventAt  time.Time
	LastEventID  ID

	// DueAt is when the next step falls due: the next event, or the end. Zero
	// once the verification is over.
	DueAt time.Time
}

// Start accepts a request: it returns the running verification and its first
// event, which is to be delivered at once. The price counts as paid; where it is not
// charged yet, the caller says so.
func Start(req Request, price Money, now time.Time, rnd io.Reader) (Verification, Event) {
	v := Verification{
		ID: IDAt(now, rnd), Request: req, Price: price, Paid: true,
		Status: InProgress, SubmittedAt: now,
	}
	return v.nextEvent(now, now, rnd)
}

// Step takes the step that is due: it returns the next event, or nil when the
// verification expires: all steps were taken, or nobody was there to take them
// (the server was down) until the whole plan had run out. It must not be called
// before DueAt. A step taken within half a second counts from DueAt: its event, its
// PIN and the next step are timed as if it had been taken then.
func (v Verification) Step(now time.Time, rnd io.Reader) (Verification, *Event) {
	if v.stepsTaken() || !v.running(now) {
		return v.end(Expired, v.endedAt(now)), nil
	}
	v, e := v.nextEvent(v.stepTime(now), now, rnd)
	return v, &e
}

// StepCapped takes the step that is due without a message: a cap keeps it from the
// number. Its event is refused, and nobody gets a new PIN, so that the one which was
// sent before stays good. There must be a step left to take.
func (v Verification) StepCapped(now time.Time, rnd io.Reader) (Verification, Event) {
	v, e := v.addEvent(v.stepTime(now), rnd)
	e.State, e.Error = EventRefused, CappedEvent
	return v, e
}

// StepsLeft reports whether there is a step to take yet, and not only the end.
func (v Verification) StepsLeft() bool { return !v.stepsTaken() }

// nextEvent takes the next step of the workflow at now, counted from at, with a new
// PIN unless keepsPIN. A PIN is expired when the event is due at or after its
// expiry, so 120/120 gives a new PIN each time.
func (v Verification) nextEvent(at, now time.Time, rnd io.Reader) (Verification, Event) {
	if !v.keepsPIN(at, now) {
		v = v.newPIN(at, rnd)
	}
	return v.addEvent(at, rnd)
}

func (v Verification) addEvent(at time.Time, rnd io.Reader) (Verification, Event) {
	e := Event{
		ID: IDAt(at, rnd), Verification: v.ID, Seq: v.Events,
		Channel: v.Workflow.Steps[v.Events].Channel, Generation: v.Generation,
		State: EventSubmitting, Attempt: 1, StartedAt: at,
	}
	if v.Events == 0 {
		v.FirstEventAt = at
	}
	v.Events++
	v.LastEventAt, v.LastEventID = at, e.ID
	if v.stepsTaken() {
		v.DueAt = v.endsAt()
	} else {
		v.DueAt = at.Add(v.Workflow.wait(e.Seq))
	}
	return v, e
}

// newPIN starts a generation. A PIN chosen by the application keeps its value,
// and then the tries go on counting: its guesser has learned what he has learned.
func (v Verification) newPIN(at time.Time, rnd io.Reader) Verification {
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

// end finishes the verification and destroys its secrets.
func (v Verification) end(s Status, now time.Time) Verification {
	v.Status, v.FinalizedAt, v.DueAt = s, now, time.Time{}
	v.PIN, v.ChosenPIN = PIN{}, PIN{}
	return v
}

func (v Verification) pinLives(now time.Time) bool { return now.Before(v.PINExpiresAt) }

func (v Verification) stepsTaken() bool { return v.Events == len(v.Workflow.Steps) }

// endsAt is when the verification expires if nothing else happens: when its last
// event has had its wait, or when the PIN dies if that is later.
func (v Verification) endsAt() time.Time {
	end := v.LastEventAt
	for seq := v.Events - 1; seq < len(v.Workflow.Steps); seq++ {
		end = end.Add(v.Workflow.wait(seq))
	}
	if v.PINExpiresAt.After(end) {
		return v.PINExpiresAt
	}
	return end
}

// At is the verification as it stands at now: one whose end has come is EXPIRED
// from then on, even if nobody has taken that step yet.
func (v Verification) At(now time.Time) Verification {
	if v.Status == InProgress && !v.running(now) {
		return v.end(Expired, v.endedAt(now))
	}
	return v
}

// endedAt returns the end of a verification that has expired at now: endsAt, or now if the
// verification is from the future.
func (v Verification) endedAt(now time.Time) time.Time {
	if v.FromFuture(now) {
		return now
	}
	return v.endsAt()
}

// FromFuture reports whether a clock that was ahead began the verification or took its
// last step (see [FromFuture]). Such a verification has expired: its end may be years
// away, and until then it would block the number.
func (v Verification) FromFuture(now time.Time) bool { return FromFuture(v.LastEventAt, now) }

// running reports whether the verification can still be acted on.
func (v Verification) running(now time.Time) bool {
	return v.Status == InProgress && now.Before(v.endsAt()) && !v.FromFuture(now)
}
