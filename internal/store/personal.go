package store

import (
	"cmp"
	"fmt"

	"countersign/internal/record"
	"countersign/internal/verify"
)

// encodePersonal returns the personal data of an archived verification, except its number;
// nil if there is no such data. A separate column allows erasing it without a change of the
// document.
func encodePersonal(v *verify.Verification) ([]byte, error) {
	known := v.To.Given != v.To.Canonical || v.Payment != nil && v.Payment.Payee != ""
	for _, s := range v.Workflow.Steps {
		known = known || !s.To.IsZero()
	}
	for _, c := range v.Checks {
		known = known || c.IPAddress != ""
	}
	if !known {
		return nil, nil
	}
	d := document{Codec: record.Writer(v.SubmittedAt), v: v, personal: true}
	d.personalData()
	b, err := d.Written()
	if err != nil {
		return nil, fmt.Errorf("personal data: %w", err)
	}
	return b, nil
}

// decodePersonal adds the personal data to a verification.
func decodePersonal(v *verify.Verification, b []byte) error {
	d := document{Codec: record.Reader(b, v.SubmittedAt), v: v}
	d.personalData()
	if err := d.Done(); err != nil {
		return fmt.Errorf("personal data: %w", err)
	}
	return nil
}

// personalData describes the personal data of an archived verification: given form, payee,
// the address of each step, and the IP address of each check. It has a record for each step
// and each check.
func (d *document) personalData() {
	v := d.v
	given := except(v.To.Given, v.To.Canonical)
	record.Text(&d.Codec, 1, &given)
	v.To.Given = cmp.Or(given, v.To.Given)
	if v.Payment != nil {
		d.private(2, &v.Payment.Payee)
	}
	for i := range v.Workflow.Steps {
		d.Record(3, true, func() { d.stepAddress(1, &v.Workflow.Steps[i]) })
	}
	for i := range v.Checks {
		d.Record(4, true, func() { d.private(1, &v.Checks[i].IPAddress) })
	}
}
