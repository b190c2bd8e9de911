package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"countersign/internal/verify"
)

// document is what the archive keeps of a verification beside its columns: all that
// search shows, and nothing that tells of a person. Times are in milliseconds.
type document struct {
	Status       verify.Status   `json:"status"`
	Country      string          `json:"country"`
	Brand        string          `json:"brand"`
	Amount       *string         `json:"amount,omitempty"` // of a payment
	Sender       string          `json:"sender"`
	Locale       string          `json:"locale"`
	CodeLength   int             `json:"code_length"`
	Workflow     json.RawMessage `json:"workflow"`
	Generation   int             `json:"generation"`
	PINExpiresAt int64           `json:"pin_expires_at"`
	Tries        int             `json:"tries"`
	FirstEventAt int64           `json:"first_event_at"`
	LastEventAt  int64           `json:"last_event_at"`
	Events       []documentEvent `json:"events"`
	Checks       []documentCheck `json:"checks,omitempty"`
}

type documentEvent struct {
	ID         string            `json:"id"`
	Channel    verify.Channel    `json:"channel"`
	Generation int               `json:"generation"`
	State      verify.EventState `json:"state"`
	Attempt    int               `json:"attempt"`
	StartedAt  int64             `json:"started_at"`
	Carrier    string            `json:"carrier,omitempty"`
	Error      string            `json:"error,omitempty"`
	Failures   verify.Failures   `json:"failures,omitempty"`
	Cost       verify.Money      `json:"cost,omitempty"`
	Parts      []documentPart    `json:"parts,omitempty"`
}

// documentPart has the carrier's id in base64: it need not be UTF-8.
type documentPart struct {
	Attempt    int               `json:"attempt"`
	Seq        int               `json:"seq,omitempty"`
	Count      int               `json:"count"`
	Carrier    string            `json:"carrier"`
	Ref        []byte            `json:"ref"`
	State      verify.EventState `json:"state"`
	Error      string            `json:"error,omitempty"`
	ReportedAt int64             `json:"reported_at,omitempty"`
}

func toDocumentPart(p verify.Part) documentPart {
	d := documentPart{p.Attempt, p.Seq, p.Count, p.Carrier, []byte(p.Ref), p.State, p.Error, 0}
	if !p.ReportedAt.IsZero() {
		d.ReportedAt = millis(p.ReportedAt)
	}
	return d
}

func (d documentPart) part() verify.Part {
	p := verify.Part{Attempt: d.Attempt, Seq: d.Seq, Count: d.Count, Carrier: d.Carrier, Ref: string(d.Ref), State: d.State, Error: d.Error}
	if d.ReportedAt != 0 {
		p.ReportedAt = fromMillis(d.ReportedAt)
	}
	return p
}

type documentCheck struct {
	Generation int   `json:"generation"`
	Valid      bool  `json:"valid"`
	ReceivedAt int64 `json:"received_at"`
}

func encodeDocument(v verify.Verification, events []verify.Event, parts []EventPart, checks []verify.Check) (string, error) {
	steps, err := encodeWorkflow(v.Workflow)
	if err != nil {
		return "", err
	}
	d := document{
		Status: v.Status, Country: v.Country, Brand: v.Brand, Sender: v.Sender, Locale: v.Locale,
		CodeLength: v.CodeLength, Workflow: json.RawMessage(steps), Generation: v.Generation,
		PINExpiresAt: millis(v.PINExpiresAt), Tries: v.Tries,
		FirstEventAt: millis(v.FirstEventAt), LastEventAt: millis(v.LastEventAt),
	}
	if v.Payment != nil {
		d.Amount = &v.Payment.Amount
	}
	for _, e := range events {
		event := documentEvent{
			ID: e.ID.Hex(), Channel: e.Channel, Generation: e.Generation, State: e.State, Attempt: e.Attempt,
			StartedAt: millis(e.StartedAt), Carrier: e.Carrier, Error: e.Error, Failures: e.Failures, Cost: e.Cost,
		}
		for _, p := range parts {
			if p.Event == e.Seq {
				event.Parts = append(event.Parts, toDocumentPart(p.Part))
			}
		}
		d.Events = append(d.Events, event)
	}
	for _, c := range checks {
		d.Checks = append(d.Checks, documentCheck{c.Generation, c.Valid, millis(c.ReceivedAt)})
	}
	text, err := json.Marshal(d)
	return string(text), err
}

var errEventID = errors.New("the id of an event is none")

// fill completes a record whose columns were read.
func (d document) fill(rec *Record) (err error) {
	if rec.Workflow, err = decodeWorkflow(string(d.Workflow)); err != nil {
		return err
	}
	rec.Status, rec.Country, rec.Brand, rec.Sender, rec.Locale = d.Status, d.Country, d.Brand, d.Sender, d.Locale
	rec.CodeLength, rec.Generation, rec.Tries = d.CodeLength, d.Generation, d.Tries
	rec.PINExpiresAt = fromMillis(d.PINExpiresAt)
	rec.FirstEventAt, rec.LastEventAt = fromMillis(d.FirstEventAt), fromMillis(d.LastEventAt)
	if d.Amount != nil {
		rec.Payment = &verify.Payment{Amount: *d.Amount}
	}
	for seq, e := range d.Events {
		id, ok := verify.ParseID(e.ID)
		if !ok {
			return errEventID
		}
		rec.EventList = append(rec.EventList, verify.Event{
			ID: id, Verification: rec.ID, Seq: seq, Channel: e.Channel, Generation: e.Generation, State: e.State,
			Attempt: e.Attempt, StartedAt: fromMillis(e.StartedAt), Carrier: e.Carrier, Error: e.Error, Failures: e.Failures, Cost: e.Cost,
		})
		for _, p := range e.Parts {
			rec.PartList = append(rec.PartList, EventPart{seq, p.part()})
		}
		rec.LastEventID = id
		rec.Cost += e.Cost
	}
	rec.Events = len(d.Events)
	for _, c := range d.Checks {
		rec.CheckList = append(rec.CheckList, verify.Check{
			Verification: rec.ID, Generation: c.Generation, Valid: c.Valid, ReceivedAt: fromMillis(c.ReceivedAt),
		})
	}
	return nil
}

// personal is what tells of a person beside the number. It has a column of its own,
// so that it can be taken out without a look at the document.
type personal struct {
	Payee       string   `json:"payee,omitempty"`
	IPAddresses []string `json:"ip_addresses,omitempty"` // of the checks, in their order
}

func encodePersonal(v verify.Verification, checks []verify.Check) (sql.NullString, error) {
	var p personal
	if v.Payment != nil {
		p.Payee = v.Payment.Payee
	}
	known := p.Payee != ""
	for _, c := range checks {
		p.IPAddresses = append(p.IPAddresses, c.IPAddress)
		known = known || c.IPAddress != ""
	}
	if !known {
		return sql.NullString{}, nil
	}
	text, err := json.Marshal(p)
	return sql.NullString{String: string(text), Valid: true}, err
}

func fillPersonal(rec *Record, text string) error {
	var p personal
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return fmt.Errorf("personal: %w", err)
	}
	if rec.Payment != nil {
		rec.Payment.Payee = p.Payee
	}
	for i := range min(len(rec.CheckList), len(p.IPAddresses)) {
		rec.CheckList[i].IPAddress = p.IPAddresses[i]
	}
	return nil
}
