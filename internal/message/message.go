// Package message produces the text of an SMS and the script of a call, from the texts
// of a locale or from a custom template ([Custom]); package template manages the custom
// templates of accounts.
//
// Locales are data: a locale is a file under locales/. The locales that the API accepts
// (accepted.txt) and the default locale of each country (countries.txt) are data, too.
// The package is pure. It must not know delivery or speech synthesis.
package message

import (
	"time"

	"countersign/internal/verify"
)

// Kind says what a verification is for. Payments have their own list of
// locales and their own texts.
type Kind int

// The two kinds.
const (
	Verification Kind = iota // of a number
	Payment                  // confirmed by the payer, naming payee and amount (PSD2)
)

// Input is what a message says.
type Input struct {
	Locale   string // such as "en-gb"; one that is not accepted speaks en-us
	Brand    string
	Payment  *verify.Payment // nil unless the person confirms a payment
	PIN      verify.PIN
	ValidFor time.Duration // remaining lifetime of the PIN, stated in whole minutes, see minutes
}

func (in Input) kind() Kind {
	if in.Payment != nil {
		return Payment
	}
	return Verification
}

// minutes returns ValidFor in whole minutes, rounded down so that a message promises
// no time that the PIN does not have, and at least 1.
func (in Input) minutes() int {
	return max(1, int(in.ValidFor/time.Minute))
}

// seconds returns ValidFor in whole seconds, rounded down, and at least 1.
func (in Input) seconds() int {
	return max(1, int(in.ValidFor/time.Second))
}
