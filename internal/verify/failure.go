package verify

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Failure is a submission of an event that a carrier did not accept.
type Failure struct {
	Carrier string // name in the configuration, without ": "
	Error   string // the carrier's code and its name, or the connection error
	Text    string // complete text; "" if it equals Error
	Attempt int    // attempt of the event, from 1; 0 if unknown
}

// Failures lists the failures of an event, oldest first, without duplicates in an attempt.
type Failures []Failure

const (
	maxFailures     = 10
	maxFailureError = 200 // octets
)

// Add returns the list with failure unless it is a duplicate. A full list drops its oldest
// entry; a long error is truncated.
func (f Failures) Add(failure Failure) Failures {
	failure.Error, failure.Text = oneLine(failure.Error), oneLine(failure.Text)
	if slices.Contains(f, failure) {
		return f
	}
	return append(slices.Clone(f[max(0, len(f)-maxFailures+1):]), failure)
}

// oneLine replaces control characters by spaces and truncates text to maxFailureError.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxFailureError {
		text = strings.ToValidUTF8(text[:maxFailureError], "")
	}
	return text
}
