package verify_test

import (
	"testing"

	"countersign/internal/verify"
)

func TestCanonicalNumber(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"5491123456789": "541123456789", "541123456789": "541123456789",
		"22995123456": "2290195123456", "2290195123456": "2290195123456",
		"447700900001": "447700900001", "549112345678": "549112345678", "": "",
		"4412345678": "4412345678", "12345678": "12345678", "5411234567": "5411234567", // as long as a rest, or with its prefix
		"549a@bc.co.uk": "549a@bc.co.uk", "229a@bc.dev": "229a@bc.dev", // e-mail addresses as long as a number
	} {
		if got := verify.CanonicalNumber(number); got != want {
			t.Errorf("CanonicalNumber(%q) = %q, want %q", number, got, want)
		}
		canonical, other := verify.NumberForms(number)
		if canonical != want || number != canonical && number != other || verify.CanonicalNumber(other) != want {
			t.Errorf("NumberForms(%q) = %q, %q", number, canonical, other)
		}
		if again := verify.CanonicalNumber(want); again != want {
			t.Errorf("CanonicalNumber(%q) = %q: not idempotent", want, again)
		}
	}
}
