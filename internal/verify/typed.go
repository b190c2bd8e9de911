package verify

import (
	"strings"

	"countersign/internal/digits"
)

// ParseTyped reads a code as a person typed or pasted it, and returns the PIN that it
// means. It takes digits of any script (Unicode category Nd) and full-width letters for
// the ASCII ones, and drops white space, dashes and invisible characters. The rest must be as
// for [ParsePIN].
func ParseTyped(text string) (PIN, bool) {
	return ParsePIN(strings.Map(typed, text))
}

// typed returns the character that r means in a code, or -1 to drop r.
func typed(r rune) rune {
	const fullWidth = 'Ａ' - 'A'
	if value, ok := digits.Value(r); ok {
		return '0' + rune(value)
	}
	switch {
	case digits.Filler(r):
		return -1
	case r >= 'Ａ' && r <= 'Ｚ', r >= 'ａ' && r <= 'ｚ':
		return r - fullWidth
	}
	return r
}
