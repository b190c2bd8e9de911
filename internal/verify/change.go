package verify

import (
	"io"
	"slices"
	"time"
)

// Change is the result of a rule: the new value, and all that follows from it. One
// transaction writes Verification, Entries, Refs and History; the effects of Facts and
// Send come after its commit.
type Change struct {
	Verification Verification
	New          bool // the verification begins with this change

	Send    *Event  // event to submit to a carrier after the commit; nil for none
	Entries []Entry // of the ledger, each with a unique key
	Refs    []Ref   // message ids that carriers gave
	History History // of an address, if it changed; otherwise nil
	Facts   []Fact  // in order: the last of those that Verification keeps

	Stepped bool          // a due step was taken
	Late    time.Duration // by so much after its time; 0 unless Stepped

	// Answer is the refusal to return after the commit; nil for none. A wrong code, for
	// example, is recorded and refused.
	Answer *Error
}

// Ref is a carrier's id of a message.
type Ref struct{ Carrier, ID string }

// History is what is known of an address across verifications, with the caps on it.
// Values are immutable.
type History interface {
	// MaySend returns the cap that forbids a message to the address; nil for none.
	MaySend(now time.Time) *Cause
	// Sent returns the history with one more message.
	Sent(now time.Time) History
	// MayCheck returns the cap that forbids the comparison of a code; nil for none.
	MayCheck(now time.Time) *Cause
	// Checked returns the history with one more check, and the cap that a wrong code
	// filled; nil for none.
	Checked(valid bool, now time.Time) (History, *Cause)
}

// Uncapped is the history of an address without caps, such as a test number.
type Uncapped struct{}

// MaySend implements [History].
func (Uncapped) MaySend(time.Time) *Cause { return nil }

// Sent implements [History].
func (u Uncapped) Sent(time.Time) History { return u }

// MayCheck implements [History].
func (Uncapped) MayCheck(time.Time) *Cause { return nil }

// Checked implements [History].
func (u Uncapped) Checked(bool, time.Time) (History, *Cause) { return u, nil }

// FactKind is the kind of a [Fact]. It is stored, so a name never changes.
type FactKind string

// The kinds of facts.
const (
	Started       FactKind = "started"
	EventSent     FactKind = "event_sent"     // outcome of a submission; State, Carrier
	EventResent   FactKind = "event_resent"   // a second attempt begins
	EventReported FactKind = "event_reported" // receipt, late response, lost outcome or cap; State, Carrier
	CodeChecked   FactKind = "code_checked"   // Valid
	PINRenewed    FactKind = "pin_renewed"    // a further generation
	Finished      FactKind = "ended"          // Status
	Charged       FactKind = "charged"        // Amount
	Refunded      FactKind = "refunded"       // Amount
	Capped        FactKind = "capped"         // Cap, Until; Event, if the cap refused one
)

// Fact is a past-tense entry of the history of a verification. Fields that its kind does
// not name are zero.
type Fact struct {
	At      time.Time
	Kind    FactKind
	Event   int // place of the event concerned, from 0
	State   EventState
	Carrier string
	Valid   bool
	Status  Status
	Amount  Money
	Cap     string
	Until   time.Time // of a cap
}

// maxFacts bounds the facts that a verification keeps. The oldest but the first go.
const maxFacts = 64

// usualFacts is the number of facts that a rule seldom exceeds.
const usualFacts = 4

// change begins a change of v. It copies what the rules modify.
func (v Verification) change() *Change {
	v.Events, v.Checks = slices.Clone(v.Events), slices.Clone(v.Checks)
	v.Facts = append(make([]Fact, 0, len(v.Facts)+usualFacts), v.Facts...)
	return &Change{Verification: v}
}

func (c *Change) fact(f Fact) {
	v := &c.Verification
	v.Facts = append(v.Facts, f)
	if len(v.Facts) > maxFacts {
		v.Facts = slices.Delete(v.Facts, 1, 2)
	}
	c.Facts = v.Facts[len(v.Facts)-len(c.Facts)-1:]
}

// finish ends the verification.
func (c *Change) finish(s Status, at, now time.Time) {
	c.Verification = c.Verification.end(s, at)
	c.fact(Fact{At: now, Kind: Finished, Status: s})
}

// capped notes that a cap refused an event. Event 0 also stands for a cap on
// the checks of the address of the verification.
func (c *Change) capped(event int, by *Cause, now time.Time) {
	c.fact(Fact{At: now, Kind: Capped, Event: event, Cap: by.Detail, Until: by.Until})
}

// resend counts a second attempt of an event before it leaves, and returns the event.
func (c *Change) resend(seq int, now time.Time) *Event {
	c.Verification.Events[seq].Attempt++
	c.fact(Fact{At: now, Kind: EventResent, Event: seq})
	e := c.Verification.Events[seq]
	return &e
}

// addEvent takes the next step with an event that starts at a time.
func (c *Change) addEvent(at time.Time, rnd io.Reader) *Event {
	v := &c.Verification
	seq := len(v.Events)
	v.Events = append(v.Events, Event{
		ID: IDAt(at, rnd), Seq: seq, Channel: v.Workflow.Steps[seq].Channel, Generation: v.Generation,
		State: EventSubmitting, Attempt: 1, StartedAt: at,
	})
	if v.stepsTaken() {
		v.NextAt = v.endsAt()
	} else {
		v.NextAt = at.Add(v.Workflow.wait(seq))
	}
	return &v.Events[seq]
}

// nextEvent takes the next step at now, counted from at, with a new PIN unless keepsPIN.
// A PIN is expired when the event is due at or after its expiry, so 120/120 gives a new
// PIN each time. The node acquires the lease and has to submit the event.
func (c *Change) nextEvent(at, now time.Time, node string, rnd io.Reader) {
	v := &c.Verification
	if !v.keepsPIN(at, now) {
		*v = v.withPIN(at, rnd)
		if v.Generation > 1 {
			c.fact(Fact{At: now, Kind: PINRenewed, Event: len(v.Events)})
		}
	}
	e := *c.addEvent(at, rnd)
	v.acquire(node, now)
	c.Send = &e
}
