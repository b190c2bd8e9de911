package verify

import (
	"cmp"
	"slices"
	"time"
)

// Part is one submission of one part of an event; a long SMS has several. Receipts refer to
// parts.
type Part struct {
	Attempt int // attempt of the event, from 1
	Seq     int // index in the message, from 0
	Count   int // number of parts of the message
	Carrier string
	Ref     string // the carrier's message id
	State   EventState
	Error   string // the carrier's error code, or a remark; "" without an error

	ReportedAt time.Time // arrival of the receipt that set State; zero before the first
}

// compare orders parts by attempt and index.
func (p Part) compare(q Part) int {
	return cmp.Or(cmp.Compare(p.Attempt, q.Attempt), cmp.Compare(p.Seq, q.Seq))
}

// Report returns the part after a receipt. Receipts arrive in any order: an intermediate
// state never replaces a final one, only delivered replaces a failure, and delivered is
// never replaced. The error of an intermediate receipt is discarded.
func (p Part) Report(state EventState, carrierError string) Part {
	if p.State == EventDelivered || (p.State != EventAccepted && state != EventDelivered) {
		return p
	}
	if state == EventAccepted {
		carrierError = ""
	}
	p.State, p.Error = state, carrierError
	return p
}

// Receipt is a delivery report of a carrier.
type Receipt struct {
	Ref
	State EventState
	Error string
}

// Receipt records a delivery report. known reports whether a part has the ref; ok is false
// if the report has no effect.
func (v Verification) Receipt(r Receipt, f OnFailure, now time.Time) (_ Change, known, ok bool) {
	for seq := len(v.Events) - 1; seq >= 0; seq-- {
		e := v.Events[seq]
		for i := len(e.Parts) - 1; i >= 0; i-- {
			part := e.Parts[i]
			if part.Carrier != r.Carrier || part.Ref != r.ID {
				continue
			}
			reported := part.Report(r.State, r.Error)
			if reported == part {
				return Change{}, true, false
			}
			reported.ReportedAt = now
			c := v.change()
			parts := slices.Clone(e.Parts)
			parts[i] = reported
			c.Verification.Events[seq].Parts = parts
			c.update(e, f, now)
			return *c, true, true
		}
	}
	return Change{}, false, false
}

// LateResponse is the response of a carrier that arrived after its timeout.
type LateResponse struct {
	Event int // index of the event
	Part  Part
	Cost  Money
	Early map[string]Part // receipts that arrived before the response, by ref
}

// LateResponse records a response after its timeout. It resolves an event of unknown
// outcome; an acceptance also counts after another carrier refused the event. A late
// refusal of an older attempt has no effect, and ok is false.
func (v Verification) LateResponse(l LateResponse, f OnFailure, now time.Time) (_ Change, ok bool) {
	e, known := v.Event(l.Event)
	refused := l.Part.State == EventRefused
	if !known || refused && l.Part.Attempt != e.Attempt {
		return Change{}, false
	}
	c := v.change()
	if e.State == EventUnknown || e.State == EventRefused && l.Part.State == EventAccepted {
		changed := &c.Verification.Events[l.Event]
		changed.State, changed.Carrier, changed.Error = l.Part.State, l.Part.Carrier, l.Part.Error
	}
	if !refused {
		c.accept(l.Event, l.Part, l.Early)
		c.addCost(l.Event, Cost{Attempt: l.Part.Attempt, Part: l.Part.Seq, Amount: l.Cost}, now)
	}
	c.update(e, f, now)
	return *c, true
}

// Reported returns the event with the state derived from its parts. It is delivered if all
// parts of one attempt were; it failed if every attempt with parts has a failed part. An
// open event, or an event without parts, is returned unchanged.
func (e Event) Reported() Event {
	if e.State == EventSubmitting {
		return e
	}
	var best Part
	for attempt := 1; attempt <= e.Attempt; attempt++ {
		p, known := attemptOutcome(e.Parts, attempt)
		if known && (best.State == "" || p.rank() >= best.rank()) {
			best = p
		}
		if best.State == EventDelivered {
			break
		}
	}
	if best.State != "" {
		e.State, e.Carrier, e.Error = best.State, best.Carrier, best.Error
	}
	return e
}

// rank orders the outcomes of attempts; the highest decides the state of the event.
func (p Part) rank() int {
	switch p.State {
	case EventDelivered:
		return 3
	case EventAccepted:
		return 2
	case EventAnswered:
		return 1
	case EventSubmitting, EventRefused, EventUnknown, EventUndeliverable, EventExpired, EventRejected, EventHeld:
	}
	return 0
}

// attemptOutcome returns the outcome of one attempt: its first failed part, otherwise a
// part that represents all. known is false if no part was accepted.
func attemptOutcome(parts []Part, attempt int) (outcome Part, known bool) {
	delivered := 0
	for _, p := range parts {
		if p.Attempt != attempt {
			continue
		}
		if p.State == EventDelivered {
			delivered++
			p.State = EventAccepted // until all parts are delivered
		}
		if !known || outcome.State == EventAccepted {
			outcome = p
		}
		known = true
	}
	if outcome.State == EventAccepted && delivered > 0 && delivered >= outcome.Count {
		outcome.State = EventDelivered
	}
	return outcome, known
}
