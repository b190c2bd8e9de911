package store

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"

	"countersign/internal/verify"
)

// personal is the personal data of an archived verification beside its number. It has a
// column of its own, so that it can be erased without a change of the document.
type personal struct {
	Given string `json:"given,omitempty"` // form of the address, if it differs from the column
	// Steps are the addresses of steps that have their own, by place.
	Steps       map[int]documentAddress `json:"steps,omitempty"`
	Payee       string                  `json:"payee,omitempty"`
	IPAddresses []string                `json:"ip_addresses,omitempty"` // of the checks, in their order
}

func encodePersonal(v *verify.Verification) (sql.NullString, error) {
	var p personal
	if v.Payment != nil {
		p.Payee = v.Payment.Payee
	}
	if v.To.Given != v.To.Canonical {
		p.Given = v.To.Given
	}
	for i, s := range v.Workflow.Steps {
		if s.To.IsZero() {
			continue
		}
		if p.Steps == nil {
			p.Steps = map[int]documentAddress{}
		}
		to := encodeAddress(s.To, true)
		to.Canonical = s.To.Canonical
		p.Steps[i] = to
	}
	known := p.Payee != "" || p.Given != "" || len(p.Steps) > 0
	for _, c := range v.Checks {
		p.IPAddresses = append(p.IPAddresses, c.IPAddress)
		known = known || c.IPAddress != ""
	}
	if !known {
		return sql.NullString{}, nil
	}
	text, err := json.Marshal(p)
	return sql.NullString{String: string(text), Valid: true}, err
}

// fill adds the personal data to a verification.
func (p personal) fill(v *verify.Verification) {
	v.To.Given = cmp.Or(p.Given, v.To.Given)
	for i, to := range p.Steps {
		if i < len(v.Workflow.Steps) {
			v.Workflow.Steps[i].To = to.decode("")
		}
	}
	if v.Payment != nil {
		v.Payment.Payee = p.Payee
	}
	for i := range min(len(v.Checks), len(p.IPAddresses)) {
		v.Checks[i].IPAddress = p.IPAddresses[i]
	}
}

func fillPersonal(v *verify.Verification, text string) error {
	var p personal
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return fmt.Errorf("personal data: %w", err)
	}
	p.fill(v)
	return nil
}
