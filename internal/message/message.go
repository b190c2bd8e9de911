// Package message turns a verification into words: the text of an SMS and the
// script of a call, in the locale that was chosen for it.
//
// Locales are data: adding one adds a file under locales/ and no code. The
// package must not know how a message is delivered, nor how a script becomes
// sound.
package message

import (
	"time"

	"countersign/internal/verify"
)

// Input is what a message says.
type Input struct {
	Locale   string // such as "en-gb"; one without text speaks en-us
	Brand    string
	Payment  *verify.Payment // nil unless the person confirms a payment
	PIN      verify.PIN
	ValidFor time.Duration // life of a PIN, shown in whole minutes, rounded up
}
