package adminapi

import (
	"strings"
	"time"

	"countersign/internal/verify"
)

// VerificationExplanation is a verification with its steps, carrier messages and ledger,
// without PINs and codes.
type VerificationExplanation struct {
	Verification
	Steps    []Step           `json:"steps"`
	Messages []CarrierMessage `json:"messages"`
	Ledger   []Entry          `json:"ledger"` // without entries that were carried over
	Timeline []TimelineEntry  `json:"timeline"`
}

// TimelineEntry is a fact of a verification. Fields without meaning for the kind are empty.
type TimelineEntry struct {
	At      string            `json:"at"`
	Fact    verify.FactKind   `json:"fact"`
	EventID string            `json:"event_id"`
	State   verify.EventState `json:"state"`
	Carrier string            `json:"carrier"`
	Valid   bool              `json:"valid"` // result of a check
	Status  verify.Status     `json:"status"`
	Amount  string            `json:"amount"`
	Cap     string            `json:"cap"`
}

// Step is a step of the workflow.
type Step struct {
	Channel verify.Channel `json:"channel"`
	To      string         `json:"to"`       // masked; "" if it was erased
	At      string         `json:"at"`       // time of the event, or due time; "" without either
	EventID string         `json:"event_id"` // "" before the event
}

// CarrierMessage is a part of an SMS, or a call, accepted by a carrier.
type CarrierMessage struct {
	EventID    string            `json:"event_id"`
	Attempt    int               `json:"attempt"`
	Part       int               `json:"part"`  // from 1
	Parts      int               `json:"parts"` // number of parts in the message
	Carrier    string            `json:"carrier"`
	MessageID  string            `json:"message_id"` // id assigned by the carrier
	State      verify.EventState `json:"state"`
	Error      string            `json:"error"`
	ReceivedAt string            `json:"receipt_at"` // "" before the first receipt
}

func (c *exchange) explainVerification() (any, error) {
	rec, err := c.findVerification()
	if err != nil {
		return nil, err
	}
	entries, err := c.cfg.Store.EntriesOf(c.r.Context(), rec)
	if err != nil {
		return nil, err
	}
	x := VerificationExplanation{
		Verification: toVerification(rec, c.now()), Steps: toSteps(rec, c.now()), Messages: []CarrierMessage{}, Ledger: each(entries, toEntry), Timeline: toTimeline(rec),
	}
	for _, e := range rec.Events {
		x.Messages = append(x.Messages, toMessages(e)...)
	}
	return x, nil
}

// toSteps returns the steps of the workflow.
func toSteps(rec verify.Verification, now time.Time) []Step {
	steps := make([]Step, len(rec.Workflow.Steps))
	running := rec.At(now).Status == verify.InProgress
	for i, s := range rec.Workflow.Steps {
		steps[i].Channel = s.Channel
		if to := rec.StepAt(i).To; to.Given != "" {
			steps[i].To = to.Masked()
		}
		switch {
		case i < len(rec.Events):
			steps[i].At, steps[i].EventID = stamp(rec.Events[i].StartedAt), rec.Events[i].ID.String()
		case i == len(rec.Events) && running:
			steps[i].At = stamp(rec.NextAt)
		}
	}
	return steps
}

// toTimeline returns the facts of a verification, oldest first.
func toTimeline(v verify.Verification) []TimelineEntry {
	list := make([]TimelineEntry, len(v.Facts))
	for i, f := range v.Facts {
		list[i] = TimelineEntry{
			At: stamp(f.At), Fact: f.Kind, State: f.State, Carrier: f.Carrier, Valid: f.Valid, Status: f.Status, Cap: f.Cap,
		}
		switch f.Kind {
		case verify.EventSent, verify.EventResent, verify.EventReported:
			list[i].EventID = v.Events[f.Event].ID.String()
		case verify.Charged, verify.Refunded:
			list[i].Amount = f.Amount.String()
		case verify.Started, verify.CodeChecked, verify.PINRenewed, verify.Finished, verify.Capped:
		}
	}
	return list
}

// toMessages returns the messages of an event that carriers accepted, in order.
func toMessages(e verify.Event) (list []CarrierMessage) {
	for _, p := range e.Parts {
		list = append(list, CarrierMessage{
			EventID: e.ID.String(), Attempt: p.Attempt, Part: p.Seq + 1, Parts: p.Count, Carrier: p.Carrier,
			MessageID: strings.ToValidUTF8(p.Ref, "?"), State: p.State, Error: p.Error, ReceivedAt: stamp(p.ReportedAt),
		})
	}
	return list
}
