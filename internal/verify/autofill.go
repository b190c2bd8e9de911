package verify

import (
	"errors"
	"regexp"
)

// Autofill ends the SMS of an account with what lets a phone fill the code in by
// itself. One of its fields may be set: each must be at the end.
type Autofill struct {
	// Domain is that of the page that asks for the code, for browsers: the last line
	// is "@domain #code" (WICG, Origin-bound one-time codes delivered via SMS).
	Domain string `json:"domain,omitempty"`
	// AppHash is that of the Android app, for its SMS Retriever: 11 characters.
	AppHash string `json:"app_hash,omitempty"`
}

var (
	domainForm  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`)
	appHashForm = regexp.MustCompile(`^[A-Za-z0-9+/]{11}$`)
)

// maxDomain leaves room for a code in the same segment.
const maxDomain = 64

// Check returns what is wrong with a.
func (a Autofill) Check() error {
	switch {
	case a.Domain != "" && a.AppHash != "":
		return errors.New("an SMS ends with a domain or with the hash of an app, not with both")
	case a.Domain != "" && (len(a.Domain) > maxDomain || !domainForm.MatchString(a.Domain)):
		return errors.New("the domain must be a name such as example.com, in small letters")
	case a.AppHash != "" && !appHashForm.MatchString(a.AppHash):
		return errors.New("the hash of an app has 11 letters, digits, + or /")
	}
	return nil
}

// Line is the end of an SMS with a PIN; "" for none.
func (a Autofill) Line(pin PIN) string {
	if a.Domain != "" {
		return "@" + a.Domain + " #" + pin.Reveal()
	}
	return a.AppHash
}
