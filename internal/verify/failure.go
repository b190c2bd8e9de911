package verify

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Failure is a hand-over of an event that a carrier did not accept.
type Failure struct {
	Carrier string // name in the configuration, without ": "
	Error   string // the carrier's code and its name, or the fault of the connection
	Text    string // complete text; "" if it equals Error
	Attempt int    // attempt of the event, from 1; 0 if unknown
}

// Failures lists the failures of an event, oldest first, each once for an attempt.
type Failures []Failure

const (
	maxFailures     = 10
	maxFailureError = 200 // octets
)

// Add returns the list with a failure, unless it has it already. A full list loses its
// oldest entry; a long error loses its end.
func (f Failures) Add(failure Failure) Failures {
	failure.Error, failure.Text = oneLine(failure.Error), oneLine(failure.Text)
	if slices.Contains(f, failure) {
		return f
	}
	return append(slices.Clone(f[max(0, len(f)-maxFailures+1):]), failure)
}

// oneLine replaces control characters by spaces and shortens text to maxFailureError.
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
