package verify

// Part is one hand-over to a carrier of one part of an event: a long SMS travels
// in several. A carrier's receipts are about parts.
type Part struct {
	Attempt int // of the event, from 1
	Seq     int // from 0
	Count   int // parts of the message
	Carrier string
	Ref     string // the carrier's own id
	State   EventState
	Error   string // the carrier's own code for what went wrong, if it gave one
}

// Report notes what a receipt says about the part. A receipt that only says that
// the message is on its way does not take back what a later one said, since they
// may come in any order; nor does any take back that it was delivered.
func (p Part) Report(state EventState, carrierError string) Part {
	if p.State == EventDelivered || (p.State != EventAccepted && state != EventDelivered) {
		return p
	}
	p.State, p.Error = state, carrierError
	return p
}

// Reported is the event as its parts tell. The person has the message when all
// parts of one attempt were delivered; it failed when a part of every attempt
// did. An event on its way, and one without parts, stays as it is.
func (e Event) Reported(parts []Part) Event {
	if e.State == EventSubmitting || len(parts) == 0 {
		return e
	}
	e.State, e.Error = "", ""
	for attempt := 1; attempt <= e.Attempt; attempt++ {
		switch state, why, known := attemptOutcome(parts, attempt); {
		case !known:
		case state == EventDelivered:
			e.State, e.Error = state, ""
			return e
		case state == EventAccepted || e.State != EventAccepted:
			e.State, e.Error = state, why
		}
	}
	return e
}

// attemptOutcome is what the parts of one attempt come to. known is false when
// none was accepted.
func attemptOutcome(parts []Part, attempt int) (state EventState, why string, known bool) {
	delivered, count := 0, 0
	state = EventAccepted
	for _, p := range parts {
		if p.Attempt != attempt {
			continue
		}
		known, count = true, p.Count
		switch p.State {
		case EventDelivered:
			delivered++
		case EventAccepted:
		default:
			if state == EventAccepted {
				state, why = p.State, p.Error
			}
		}
	}
	if delivered == count && state == EventAccepted {
		state = EventDelivered
	}
	return state, why, known
}
