package verify

import (
	"strings"
	"unicode"
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
	switch {
	case r < unicode.MaxASCII:
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return r
	case r >= 'Ａ' && r <= 'Ｚ', r >= 'ａ' && r <= 'ｚ':
		return r - fullWidth
	case unicode.Is(unicode.Nd, r):
		return '0' + digitValue(r)
	case r == '\u2212', // minus sign
		unicode.In(r, unicode.Pd, unicode.White_Space, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return -1
	}
	return r
}

// digitValue returns the value of a decimal digit. Unicode encodes the digits 0 to 9 of
// each script in a row (Unicode Standard, section 4.6), so ranges of category Nd begin
// with a 0.
func digitValue(r rune) rune {
	for _, row := range unicode.Nd.R16 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return (r - rune(row.Lo)) % 10
		}
	}
	for _, row := range unicode.Nd.R32 {
		if r >= rune(row.Lo) && r <= rune(row.Hi) {
			return (r - rune(row.Lo)) % 10
		}
	}
	return 0
}
