package verify

import "time"

// Part is one hand-over to a carrier of one part of an event: a long SMS travels
// in several. A carrier's receipts are about parts.
type Part struct {
	Attempt int // of the event, from 1
	Seq     int // from 0
	Count   int // parts of the message
	Carrier string
	Ref     string // the carrier's own id
	State   EventState
	Error   string // the carrier's own code for what went wrong, or a remark on what arrived; "" for none

	ReportedAt time.Time // arrival of the receipt that State results from; zero before the first
}

// Report notes what a receipt says about the part. A receipt that only says that
// the message is on its way does not take back what a later one said, since they
// may come in any order; nor does any take back that it was delivered. What is said
// of a message that is on its way is not kept: it says nothing yet.
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

// Reported is the event as its parts tell. The person has the message when all
// parts of one attempt were delivered; it failed when a part of every attempt did
// of which there are any. An event on its way, and one without parts, stays as it
// is.
func (e Event) Reported(parts []Part) Event {
	if e.State == EventSubmitting {
		return e
	}
	var best Part
	for attempt := 1; attempt <= e.Attempt; attempt++ {
		p, known := attemptOutcome(parts, attempt)
		if known && (best.State == "" || p.hope() >= best.hope()) {
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

// hope ranks the outcomes of attempts: the person has the message by the best.
func (p Part) hope() int {
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

// attemptOutcome is what the parts of one attempt come to: the first that failed,
// or else one that speaks for all. known is false when none was accepted.
func attemptOutcome(parts []Part, attempt int) (outcome Part, known bool) {
	delivered := 0
	for _, p := range parts {
		if p.Attempt != attempt {
			continue
		}
		if p.State == EventDelivered {
			delivered++
			p.State = EventAccepted // until all are
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
