package verify

import (
	"io"
	"slices"
	"time"
)

// Change is the result of a rule: the new value and its consequences. One transaction
// writes Verification, Entries, Refs and History; the effects of Facts and Send follow its
// commit.
type Change struct {
	Verification Verification
	New          bool // the verification begins with this change

	Send    *Event  // event to submit to a carrier after the commit, or nil
	Entries []Entry // ledger entries, each with a unique key
	Refs    []Ref   // message ids from carriers
	History History // new history of an address; nil if unchanged
	Facts   []Fact  // new facts in order: the last elements of Verification.Facts

	Stepped bool          // a due step was taken
	Late    time.Duration // delay of the step; 0 unless Stepped

	// Answer is the refusal to return after the commit, or nil. A wrong code, for example,
	// is recorded and refused.
	Answer *Error
}

// Ref identifies a message by its carrier and the carrier's id.
type Ref struct{ Carrier, ID string }

// History is the record of an address across verifications, with its caps. Values are
// immutable.
type History interface {
	// MaySend returns the cap that forbids a message to the address, or nil.
	MaySend(now time.Time) *Cause
	// Sent returns the history with one more message.
	Sent(now time.Time) History
	// MayCheck returns the cap that forbids the comparison of a code, or nil.
	MayCheck(now time.Time) *Cause
	// Checked returns the history with one more check, and the cap that a wrong code
	// filled, or nil.
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
	Until   time.Time // end of a cap
}

// maxFacts bounds the facts of a verification. The first fact is kept; the oldest of the
// others are dropped.
const maxFacts = 64

// usualFacts is a preallocation: few rules add more facts.
const usualFacts = 4

// change begins a change of v with copies of the slices that rules modify.
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

// capped records that a cap refused an event. Event 0 is also used for a cap on the checks
// of the address.
func (c *Change) capped(event int, by *Cause, now time.Time) {
	c.fact(Fact{At: now, Kind: Capped, Event: event, Cap: by.Detail, Until: by.Until})
}

// resend counts a second attempt of an event before its submission, and returns the event.
func (c *Change) resend(seq int, now time.Time) *Event {
	c.Verification.Events[seq].Attempt++
	c.fact(Fact{At: now, Kind: EventResent, Event: seq})
	e := c.Verification.Events[seq]
	return &e
}

// addEvent takes the next step: it adds an event that starts at the given time.
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

// nextEvent takes the next step at now, counted from at, with a new PIN unless keepsPIN. A
// PIN has expired if the event is due at or after its expiry, so 120/120 means a new PIN
// each time. The node acquires the lease and must submit the event.
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
