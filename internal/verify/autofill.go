package verify

import (
	"errors"
	"regexp"
)

// Autofill is the last line of an account's SMS, from which a phone fills in the code. At
// most one field may be set, since each must be at the end.
type Autofill struct {
	// Domain is the domain of the web page with the code field. The last line is then
	// "@domain #code" (WICG, Origin-bound one-time codes delivered via SMS).
	Domain string `json:"domain,omitempty"`
	// AppHash identifies an Android app to the SMS Retriever: 11 characters.
	AppHash string `json:"app_hash,omitempty"`
}

var (
	domainForm  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`)
	appHashForm = regexp.MustCompile(`^[A-Za-z0-9+/]{11}$`)
)

// maxDomain limits a domain so that it fits into one segment with the code.
const maxDomain = 64

// Check returns the first defect of a, or nil.
func (a Autofill) Check() error {
	switch {
	case a.Domain != "" && a.AppHash != "":
		return errors.New("set domain or app_hash, not both")
	case a.Domain != "" && (len(a.Domain) > maxDomain || !domainForm.MatchString(a.Domain)):
		return errors.New("domain must be a lower-case name such as example.com")
	case a.AppHash != "" && !appHashForm.MatchString(a.AppHash):
		return errors.New("app_hash must have 11 characters: letters, digits, + or /")
	}
	return nil
}

// Line returns the last line of an SMS with a PIN, or "".
func (a Autofill) Line(pin PIN) string {
	if a.Domain != "" {
		return "@" + a.Domain + " #" + pin.Reveal()
	}
	return a.AppHash
}
