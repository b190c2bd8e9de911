// Package message turns a verification into words: the text of an SMS and the
// script of a call, in the locale that was chosen for it.
//
// Locales are data: a locale is a file under locales/ and no code. Which
// locales the API accepts (accepted.txt) and which one a country gets
// (countries.txt) are data too. The package must not know how a message is
// delivered, nor how a script becomes sound.
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
	ValidFor time.Duration // life of a PIN, shown in whole minutes, rounded up
}

func (in Input) kind() Kind {
	if in.Payment != nil {
		return Payment
	}
	return Verification
}

// minutes is ValidFor in whole minutes. Rounding up promises at most a minute
// too much, where rounding down could promise none at all.
func (in Input) minutes() int {
	return max(1, int((in.ValidFor+time.Minute-1)/time.Minute))
}
