package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"countersign/internal/verify"
)

// documentVersion is the version of [document] that this program writes.
const documentVersion = 1

// document is the stored form of a verification beside its columns. Times are in
// milliseconds since the submission, so that most are short. The same form lies in the
// archive, without codes; payee and IP addresses are in a column of their own there.
type document struct {
	Version    int              `json:"version"`
	Status     verify.Status    `json:"status"`
	To         documentAddress  `json:"to"`
	Brand      string           `json:"brand,omitempty"`
	Payment    *documentPayment `json:"payment,omitempty"`
	Sender     string           `json:"sender,omitempty"`
	Locale     string           `json:"locale"`
	CodeLength int              `json:"code_length"`
	Workflow   documentWorkflow `json:"workflow"`
	Price      verify.Money     `json:"price,omitempty"`
	Payer      string           `json:"payer,omitempty"`
	Paid       bool             `json:"paid,omitempty"`
	Unsent     bool             `json:"unsent,omitempty"`

	PIN          []byte `json:"pin,omitempty"` // sealed
	Chosen       bool   `json:"chosen,omitempty"`
	Generation   int    `json:"generation"`
	PINExpiresAt int64  `json:"pin_expires"`
	Tries        int    `json:"tries,omitempty"`

	Events []documentEvent `json:"events"`
	Checks []documentCheck `json:"checks,omitempty"`
	Facts  []documentFact  `json:"facts,omitempty"`
}

// documentPayment is the stored form of verify.Payment.
type documentPayment struct {
	Amount string `json:"amount"`
	Payee  string `json:"payee,omitempty"`
}

// documentWorkflow is the stored form of verify.Workflow. Times are in milliseconds.
type documentWorkflow struct {
	Steps       []documentStep   `json:"steps"`
	PINLife     int64            `json:"pin_life"`
	PINPolicy   verify.PINPolicy `json:"pin_policy"`
	CancelAfter int64            `json:"cancel_after"`
	Test        bool             `json:"test,omitempty"`
	Speed       int              `json:"speed,omitempty"`
}

type documentStep struct {
	Channel   verify.Channel   `json:"channel"`
	Wait      int64            `json:"wait"`
	To        *documentAddress `json:"to,omitempty"` // unless it is that of the verification
	From      string           `json:"from,omitempty"`
	PINPolicy verify.PINPolicy `json:"pin_policy,omitempty"`
}

// documentAddress is an address. Given and Canonical are personal data: the archive has
// them in a column of its own.
type documentAddress struct {
	Kind      verify.AddressKind `json:"kind"`
	Country   string             `json:"country,omitempty"`
	Given     string             `json:"given,omitempty"`     // "" if it equals the canonical form
	Canonical string             `json:"canonical,omitempty"` // "" if the column address has it
}

func encodeAddress(a verify.Address, personal bool) documentAddress {
	d := documentAddress{Kind: a.Kind, Country: a.Country}
	if personal && a.Given != a.Canonical {
		d.Given = a.Given
	}
	return d
}

func (d documentAddress) decode(canonical string) verify.Address {
	canonical = cmp.Or(d.Canonical, canonical)
	return verify.Address{Kind: d.Kind, Country: d.Country, Canonical: canonical, Given: cmp.Or(d.Given, canonical)}
}

type documentEvent struct {
	ID         []byte            `json:"id"`
	Channel    verify.Channel    `json:"channel"`
	Generation int               `json:"generation"`
	State      verify.EventState `json:"state"`
	Attempt    int               `json:"attempt"`
	At         int64             `json:"at"`
	Carrier    string            `json:"carrier,omitempty"`
	Error      string            `json:"error,omitempty"`
	Failures   []documentFailure `json:"failures,omitempty"`
	Costs      []documentCost    `json:"costs,omitempty"`
	Parts      []documentPart    `json:"parts,omitempty"`
}

type documentFailure struct {
	Carrier string `json:"carrier"`
	Error   string `json:"error"`
	Text    string `json:"text,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
}

type documentCost struct {
	Attempt int          `json:"attempt"`
	Part    int          `json:"part"`
	Amount  verify.Money `json:"amount"`
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
	ReportedAt *int64            `json:"reported,omitempty"`
}

type documentCheck struct {
	Generation int    `json:"generation"`
	Code       []byte `json:"code,omitempty"` // sealed
	Valid      bool   `json:"valid,omitempty"`
	IPAddress  string `json:"ip,omitempty"`
	At         int64  `json:"at"`
}

type documentFact struct {
	At      int64             `json:"at"`
	Kind    verify.FactKind   `json:"fact"`
	Event   int               `json:"event,omitempty"`
	State   verify.EventState `json:"state,omitempty"`
	Carrier string            `json:"carrier,omitempty"`
	Valid   bool              `json:"valid,omitempty"`
	Status  verify.Status     `json:"status,omitempty"`
	Amount  verify.Money      `json:"amount,omitempty"`
	Cap     string            `json:"cap,omitempty"`
	Until   *int64            `json:"until,omitempty"`
}

// since returns a time in milliseconds since the submission.
func since(v *verify.Verification, t time.Time) int64 { return millis(t) - millis(v.SubmittedAt) }

// sinceOrNil is since for a time that may be zero; nil for zero.
func sinceOrNil(v *verify.Verification, t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := since(v, t)
	return &ms
}

// after is the reverse of since.
func after(v *verify.Verification, ms int64) time.Time {
	return fromMillis(millis(v.SubmittedAt) + ms)
}

// afterOrZero is the reverse of sinceOrNil.
func afterOrZero(v *verify.Verification, ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return after(v, *ms)
}

// encodeDocument returns the document of a verification. A nil sealer leaves out all codes
// and personal data, as the archive does.
func encodeDocument(v *verify.Verification, seal *sealer) (string, error) {
	d := document{
		Version: documentVersion, Status: v.Status, To: encodeAddress(v.To, seal != nil), Brand: v.Brand, Sender: v.Sender, Locale: v.Locale,
		CodeLength: v.CodeLength, Workflow: encodeWorkflow(v.Workflow, seal != nil), Price: v.Price, Payer: v.Payer, Paid: v.Paid, Unsent: v.Unsent,
		Chosen: !v.ChosenPIN.IsZero(), Generation: v.Generation, PINExpiresAt: since(v, v.PINExpiresAt), Tries: v.Tries,
		Events: make([]documentEvent, len(v.Events)),
	}
	if v.Payment != nil {
		d.Payment = &documentPayment{Amount: v.Payment.Amount}
	}
	if seal != nil {
		d.PIN = seal.sealPIN(v.PIN, v.ID, v.Generation)
		if v.Payment != nil {
			d.Payment.Payee = v.Payment.Payee
		}
	}
	for i := range v.Events {
		d.Events[i] = encodeEvent(v, &v.Events[i])
	}
	d.Checks = make([]documentCheck, len(v.Checks))
	for i, c := range v.Checks {
		check := documentCheck{Generation: c.Generation, Valid: c.Valid, At: since(v, c.ReceivedAt)}
		if seal != nil {
			check.Code, check.IPAddress = seal.sealCode(c, v.ID), c.IPAddress
		}
		d.Checks[i] = check
	}
	d.Facts = make([]documentFact, len(v.Facts))
	for i, f := range v.Facts {
		d.Facts[i] = documentFact{
			since(v, f.At), f.Kind, f.Event, f.State, f.Carrier, f.Valid, f.Status, f.Amount, f.Cap, sinceOrNil(v, f.Until),
		}
	}
	var text strings.Builder
	err := json.NewEncoder(&text).Encode(&d)
	return strings.TrimSuffix(text.String(), "\n"), err
}

func encodeWorkflow(w verify.Workflow, personal bool) documentWorkflow {
	stored := documentWorkflow{
		Steps: make([]documentStep, len(w.Steps)), PINLife: w.PINLife.Milliseconds(), PINPolicy: w.PINPolicy,
		CancelAfter: w.CancelAfter.Milliseconds(), Test: w.Test, Speed: w.Speed,
	}
	for i, s := range w.Steps {
		stored.Steps[i] = documentStep{Channel: s.Channel, Wait: s.Wait.Milliseconds(), From: s.From, PINPolicy: s.PINPolicy}
		if !s.To.IsZero() {
			to := encodeAddress(s.To, personal)
			if personal {
				to.Canonical = s.To.Canonical
			}
			stored.Steps[i].To = &to
		}
	}
	return stored
}

func encodeEvent(v *verify.Verification, e *verify.Event) documentEvent {
	d := documentEvent{
		ID: e.ID[:], Channel: e.Channel, Generation: e.Generation, State: e.State, Attempt: e.Attempt,
		At: since(v, e.StartedAt), Carrier: e.Carrier, Error: storableText(e.Error),
	}
	for _, f := range e.Failures {
		d.Failures = append(d.Failures, documentFailure(f))
	}
	for _, c := range e.Costs {
		d.Costs = append(d.Costs, documentCost(c))
	}
	for _, p := range e.Parts {
		d.Parts = append(d.Parts, documentPart{
			p.Attempt, p.Seq, p.Count, p.Carrier, []byte(p.Ref), p.State, storableText(p.Error), sinceOrNil(v, p.ReportedAt),
		})
	}
	return d
}

// Errors of documents that this program does not read.
var (
	errEventID = errors.New("the id of an event is not a UUID")
	errEvents  = errors.New("it has more events than steps")
	errVersion = errors.New("unknown version; use the countersign that wrote it, or a newer one")
)

// decodeDocument completes a verification of which the columns were read. A nil sealer
// leaves its codes empty.
func decodeDocument(v *verify.Verification, address string, text []byte, seal *sealer) error {
	v.To = verify.Address{Kind: verify.Phone, Canonical: address, Given: address} // unless the document has more
	var d document
	// Half the time of encoding/json; each transition decodes a document.
	if err := jsonv2.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	if d.Version != documentVersion {
		return fmt.Errorf("document: version %d: %w", d.Version, errVersion)
	}
	v.Status, v.To, v.Brand, v.Sender, v.Locale = d.Status, d.To.decode(address), d.Brand, d.Sender, d.Locale
	v.CodeLength, v.Price, v.Payer, v.Paid, v.Unsent = d.CodeLength, d.Price, d.Payer, d.Paid, d.Unsent
	v.Generation, v.PINExpiresAt, v.Tries = d.Generation, after(v, d.PINExpiresAt), d.Tries
	v.Workflow = d.Workflow.decode()
	if d.Payment != nil {
		v.Payment = &verify.Payment{Payee: d.Payment.Payee, Amount: d.Payment.Amount}
	}
	if len(d.Events) > len(d.Workflow.Steps) {
		return fmt.Errorf("document: %w", errEvents)
	}
	v.Events, v.Checks, v.Facts = slices.Grow(v.Events, len(d.Events)), slices.Grow(v.Checks, len(d.Checks)), slices.Grow(v.Facts, len(d.Facts))
	for seq, e := range d.Events {
		if len(e.ID) != len(verify.ID{}) {
			return errEventID
		}
		v.Events = append(v.Events, e.decode(v, seq))
	}
	for _, f := range d.Facts {
		v.Facts = append(v.Facts, verify.Fact{
			At: after(v, f.At), Kind: f.Kind, Event: f.Event, State: f.State, Carrier: f.Carrier, Valid: f.Valid,
			Status: f.Status, Amount: f.Amount, Cap: f.Cap, Until: afterOrZero(v, f.Until),
		})
	}
	for _, c := range d.Checks {
		v.Checks = append(v.Checks, verify.Check{Generation: c.Generation, Valid: c.Valid, IPAddress: c.IPAddress, ReceivedAt: after(v, c.At)})
	}
	if seal == nil {
		return nil
	}
	return d.open(v, seal)
}

// open decrypts the codes.
func (d document) open(v *verify.Verification, seal *sealer) (err error) {
	if v.PIN, err = seal.openPIN(d.PIN, v.ID, v.Generation); err != nil {
		return err
	}
	if d.Chosen {
		v.ChosenPIN = v.PIN
	}
	for i, c := range d.Checks {
		if v.Checks[i].Code, err = seal.openCode(c.Code, v.ID, c.Generation); err != nil {
			return err
		}
	}
	return nil
}

func (w documentWorkflow) decode() verify.Workflow {
	const ms = time.Millisecond
	decoded := verify.Workflow{
		Steps: make([]verify.Step, len(w.Steps)), PINLife: time.Duration(w.PINLife) * ms, PINPolicy: w.PINPolicy,
		CancelAfter: time.Duration(w.CancelAfter) * ms, Test: w.Test, Speed: w.Speed,
	}
	for i, s := range w.Steps {
		decoded.Steps[i] = verify.Step{Channel: s.Channel, Wait: time.Duration(s.Wait) * ms, From: s.From, PINPolicy: s.PINPolicy}
		if s.To != nil {
			decoded.Steps[i].To = s.To.decode("")
		}
	}
	return decoded
}

func (e documentEvent) decode(v *verify.Verification, seq int) verify.Event {
	decoded := verify.Event{
		ID: verify.ID(e.ID), Seq: seq, Channel: e.Channel, Generation: e.Generation, State: e.State, Attempt: e.Attempt,
		StartedAt: after(v, e.At), Carrier: e.Carrier, Error: e.Error,
	}
	for _, f := range e.Failures {
		decoded.Failures = append(decoded.Failures, verify.Failure(f))
	}
	for _, c := range e.Costs {
		decoded.Costs = append(decoded.Costs, verify.Cost(c))
	}
	for _, p := range e.Parts {
		decoded.Parts = append(decoded.Parts, verify.Part{
			Attempt: p.Attempt, Seq: p.Seq, Count: p.Count, Carrier: p.Carrier, Ref: string(p.Ref), State: p.State, Error: p.Error,
			ReportedAt: afterOrZero(v, p.ReportedAt),
		})
	}
	return decoded
}
