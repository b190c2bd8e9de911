// Package message produces the text of an SMS and the script of a call, from the texts of a
// locale or from a custom template ([Custom]). Package template manages the custom
// templates of accounts.
//
// Locales are data: each locale is a file under locales/. The locales accepted by the API
// (accepted.txt) and the default locale of each country (countries.txt) are data as well.
// The package is pure. It does not depend on delivery or speech synthesis.
package message

import (
	"time"

	"countersign/internal/verify"
)

// Kind is the purpose of a verification. Payments have their own locales and texts.
type Kind int

// The two kinds.
const (
	Verification Kind = iota // verification of a number
	Payment                  // confirmed by the payer, naming payee and amount (PSD2)
)

// Input is the content of a message.
type Input struct {
	Locale   string // such as "en-gb"; en-us replaces an unknown locale
	Brand    string
	Payment  *verify.Payment // nil unless the person confirms a payment
	PIN      verify.PIN
	ValidFor time.Duration // remaining lifetime of the PIN; messages state whole minutes
}

func (in Input) kind() Kind {
	if in.Payment != nil {
		return Payment
	}
	return Verification
}

// minutes returns ValidFor in whole minutes, rounded down so that a message does not
// promise more time than the PIN has, but at least 1.
func (in Input) minutes() int {
	return max(1, int(in.ValidFor/time.Minute))
}

// seconds returns ValidFor in whole seconds, rounded down, and at least 1.
func (in Input) seconds() int {
	return max(1, int(in.ValidFor/time.Second))
}
