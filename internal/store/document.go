package store

import (
	"cmp"
	"errors"
	"fmt"

	"countersign/internal/record"
	"countersign/internal/store/driver"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// documentVersion is the version of the document that this program reads and writes.
const documentVersion = 1

// document writes or reads the columns document and personal of a verification: records with
// times relative to the submission. In the archive the document lacks codes, and the column
// personal has the personal data.
//
// The number and the meaning of a field never change. A new field has a number above all
// others of its record: older programs skip it, and older documents lack it.
type document struct {
	record.Codec
	v        *verify.Verification
	seal     *vault.Sealer // nil leaves out codes
	personal bool          // whether personal data is written
	sealed   error         // first error of a code, see opened
}

// encodeDocument returns the document of a verification. A nil sealer leaves out all codes
// and personal data, as the archive does.
func encodeDocument(v *verify.Verification, seal *vault.Sealer) ([]byte, error) {
	d := document{Codec: record.Writer(v.SubmittedAt), v: v, seal: seal, personal: seal != nil}
	d.verification()
	b, err := d.Written()
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	return b, nil
}

// Errors of documents that this program does not read.
var (
	errEventID = errors.New("the id of an event is not a UUID")
	errEvents  = errors.New("it has more events than steps")
	errVersion = errors.New("unknown version; use the countersign that wrote it, or a newer one")
)

// decodeDocument completes a verification that has its other columns. A nil sealer leaves its
// codes empty. If a code does not open, v lacks the code only. After any other error v has the
// other columns only.
func decodeDocument(v *verify.Verification, address string, b []byte, seal *vault.Sealer) error {
	v.To = verify.Address{Kind: verify.Phone, Canonical: address, Given: address} // unless the document has more
	columns := *v
	d := document{Codec: record.Reader(b, v.SubmittedAt), v: v, seal: seal}
	d.verification()
	if err := d.Done(); err != nil {
		*v = columns
		return fmt.Errorf("document: %w", err)
	}
	return d.sealed
}

func (d *document) verification() {
	v, version := d.v, documentVersion
	if !d.Writing() {
		version = 0
	}
	if record.Int(&d.Codec, 1, &version); version != documentVersion {
		d.Fail(fmt.Errorf("version %d: %w", version, errVersion))
	}
	record.Text(&d.Codec, 2, &v.Status)
	d.Record(3, true, func() { d.address(&v.To, v.To.Canonical) })
	record.Text(&d.Codec, 4, &v.Brand)
	record.Text(&d.Codec, 5, &v.Locale)
	record.Int(&d.Codec, 6, &v.CodeLength)
	d.Record(7, true, func() { d.workflow(&v.Workflow) })
	record.Int(&d.Codec, 8, &v.Price)
	d.Bool(9, &v.Paid)
	record.Int(&d.Codec, 10, &v.Generation)
	d.Time(11, &v.PINExpiresAt)
	d.pin(12)
	record.List(&d.Codec, 13, &v.Events, d.event)
	record.List(&d.Codec, 14, &v.Checks, d.check)
	record.List(&d.Codec, 15, &v.Facts, d.fact)
	d.Record(16, v.Payment != nil, d.payment)
	record.Text(&d.Codec, 17, &v.Sender)
	record.Text(&d.Codec, 18, &v.Payer)
	d.Bool(19, &v.Unsent)
	chosen := !v.ChosenPIN.IsZero()
	if d.Bool(20, &chosen); chosen && !d.Writing() {
		v.ChosenPIN = v.PIN
	}
	record.Int(&d.Codec, 21, &v.Tries)
	if len(v.Events) > len(v.Workflow.Steps) {
		d.Fail(errEvents)
	}
	if !d.Writing() {
		for i := range v.Events {
			v.Events[i].Seq = i
		}
	}
}

// address describes an address. Its canonical form is not stored if a column has it.
func (d *document) address(a *verify.Address, column string) {
	var given, canonical string
	if d.personal {
		given, canonical = except(a.Given, a.Canonical), except(a.Canonical, column)
	}
	record.Text(&d.Codec, 1, &a.Kind)
	record.Text(&d.Codec, 2, &a.Country)
	record.Text(&d.Codec, 3, &given)
	record.Text(&d.Codec, 4, &canonical)
	if !d.Writing() {
		a.Canonical = cmp.Or(canonical, column)
		a.Given = cmp.Or(given, a.Canonical)
	}
}

// except returns text, or "" if it equals known.
func except(text, known string) string {
	if text == known {
		return ""
	}
	return text
}

func (d *document) workflow(w *verify.Workflow) {
	record.List(&d.Codec, 1, &w.Steps, d.step)
	d.Duration(2, &w.PINLife)
	record.Text(&d.Codec, 3, &w.PINPolicy)
	d.Duration(4, &w.CancelAfter)
	d.Bool(5, &w.Test)
	record.Int(&d.Codec, 6, &w.Speed)
}

func (d *document) step(s *verify.Step) {
	record.Text(&d.Codec, 1, &s.Channel)
	d.Duration(2, &s.Wait)
	d.stepAddress(3, s)
	record.Text(&d.Codec, 4, &s.From)
	record.Text(&d.Codec, 5, &s.PINPolicy)
}

// stepAddress is the address of a step that has its own.
func (d *document) stepAddress(field record.Field, s *verify.Step) {
	d.Record(field, !s.To.IsZero(), func() { d.address(&s.To, "") })
}

func (d *document) payment() {
	if !d.Writing() {
		d.v.Payment = &verify.Payment{}
	}
	record.Text(&d.Codec, 1, &d.v.Payment.Amount)
	d.private(2, &d.v.Payment.Payee)
}

// private is a text that the archive has in its column personal.
func (d *document) private(field record.Field, text *string) {
	if !d.Writing() || d.personal {
		record.Text(&d.Codec, field, text)
	}
}

func (d *document) event(e *verify.Event) {
	var id []byte
	if d.Writing() {
		id = e.ID[:]
	}
	if record.Text(&d.Codec, 1, &id); len(id) != len(e.ID) {
		d.Fail(errEventID)
		return
	}
	if !d.Writing() {
		e.ID = verify.ID(id)
	}
	record.Text(&d.Codec, 2, &e.Channel)
	record.Int(&d.Codec, 3, &e.Generation)
	record.Text(&d.Codec, 4, &e.State)
	record.Int(&d.Codec, 5, &e.Attempt)
	d.Time(6, &e.StartedAt)
	record.Text(&d.Codec, 7, &e.Carrier)
	d.remark(8, &e.Error)
	record.List(&d.Codec, 9, (*[]verify.Failure)(&e.Failures), d.failure)
	record.List(&d.Codec, 10, &e.Costs, d.cost)
	record.List(&d.Codec, 11, &e.Parts, d.part)
}

// remark is a text of a carrier, with its octets that are not UTF-8 spelled out.
func (d *document) remark(field record.Field, text *string) {
	if d.Writing() {
		stored := driver.Text(*text)
		text = &stored
	}
	record.Text(&d.Codec, field, text)
}

func (d *document) failure(f *verify.Failure) {
	record.Text(&d.Codec, 1, &f.Carrier)
	d.remark(2, &f.Error)
	d.remark(3, &f.Text)
	record.Int(&d.Codec, 4, &f.Attempt)
}

func (d *document) cost(c *verify.Cost) {
	record.Int(&d.Codec, 1, &c.Attempt)
	record.Int(&d.Codec, 2, &c.Part)
	record.Int(&d.Codec, 3, &c.Amount)
}

func (d *document) part(p *verify.Part) {
	record.Int(&d.Codec, 1, &p.Attempt)
	record.Int(&d.Codec, 2, &p.Seq)
	record.Int(&d.Codec, 3, &p.Count)
	record.Text(&d.Codec, 4, &p.Carrier)
	record.Text(&d.Codec, 5, &p.Ref) // need not be UTF-8
	record.Text(&d.Codec, 6, &p.State)
	d.remark(7, &p.Error)
	d.Time(8, &p.ReportedAt)
}

func (d *document) check(c *verify.Check) {
	record.Int(&d.Codec, 1, &c.Generation)
	d.code(2, c)
	d.Bool(3, &c.Valid)
	d.private(4, &c.IPAddress)
	d.Time(5, &c.ReceivedAt)
}

func (d *document) fact(f *verify.Fact) {
	d.Time(1, &f.At)
	record.Text(&d.Codec, 2, &f.Kind)
	record.Int(&d.Codec, 3, &f.Event)
	record.Text(&d.Codec, 4, &f.State)
	record.Text(&d.Codec, 5, &f.Carrier)
	d.Bool(6, &f.Valid)
	record.Text(&d.Codec, 7, &f.Status)
	record.Int(&d.Codec, 8, &f.Amount)
	record.Text(&d.Codec, 9, &f.Cap)
	d.Time(10, &f.Until)
}

// pin describes the sealed PIN.
func (d *document) pin(field record.Field) {
	var sealed []byte
	if d.seal != nil && d.Writing() {
		sealed = d.seal.SealPIN(d.v.PIN, d.v.ID, d.v.Generation)
	}
	if record.Text(&d.Codec, field, &sealed); d.seal == nil || d.Writing() {
		return
	}
	pin, err := d.seal.OpenPIN(sealed, d.v.ID, d.v.Generation)
	d.v.PIN = pin
	d.opened(err)
}

// code describes the sealed code of a check.
func (d *document) code(field record.Field, c *verify.Check) {
	var sealed []byte
	if d.seal != nil && d.Writing() {
		sealed = d.seal.SealCode(*c, d.v.ID)
	}
	if record.Text(&d.Codec, field, &sealed); d.seal == nil || d.Writing() {
		return
	}
	code, err := d.seal.OpenCode(sealed, d.v.ID, c.Generation)
	c.Code = code
	d.opened(err)
}

// opened keeps the first error of a code. An error that wraps vault.ErrUnavailable takes
// precedence, since a later attempt may open all codes.
func (d *document) opened(err error) {
	if d.sealed == nil || errors.Is(err, vault.ErrUnavailable) {
		d.sealed = err
	}
}
