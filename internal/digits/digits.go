// Package digits parses digits as typed or pasted: in any script, with invisible
// characters, white space and dashes in between.
//
// The package has no rules for phone numbers or codes; callers decide which
// punctuation and lengths they accept.
package digits

import (
	"sort"
	"strings"
	"unicode"
)

// Value returns the value, 0 to 9, of a decimal digit of any script (Unicode general
// category Nd), such as U+0663 (Arabic-Indic three) or U+FF13 (full-width three). ok is
// false for all other runes, including superscripts and circled digits.
func Value(r rune) (value byte, ok bool) {
	switch {
	case r >= '0' && r <= '9':
		return byte(r - '0'), true
	case r < 0x80 || !unicode.Is(unicode.Nd, r):
		return 0, false
	}
	// Unicode encodes the digits of a script as ten consecutive code points from zero to
	// nine (Unicode Standard, section 4.6). Each range of the table consists of complete
	// sets of ten.
	if r <= 0xffff {
		ranges := unicode.Nd.R16
		i := sort.Search(len(ranges), func(i int) bool { return rune(ranges[i].Hi) >= r })
		return byte((r - rune(ranges[i].Lo)) % 10), true
	}
	ranges := unicode.Nd.R32
	i := sort.Search(len(ranges), func(i int) bool { return rune(ranges[i].Hi) >= r })
	return byte((r - rune(ranges[i].Lo)) % 10), true
}

// Filler reports whether r may separate digits: white space, a dash of any kind, or an
// invisible character such as a zero-width space, a byte-order mark or a directional
// mark.
func Filler(r rune) bool {
	const minus = '\u2212' // a mathematical symbol (category Sm), pasted in place of a hyphen
	if r < 0x80 {
		return r == ' ' || r == '-' || r >= '\t' && r <= '\r'
	}
	return r == minus || unicode.In(r, unicode.White_Space, unicode.Pd, unicode.Cf,
		unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// Fold returns text without fillers, with digits of any script and full-width letters
// converted to ASCII. Other characters are unchanged.
func Fold(text string) string { return strings.Map(fold, text) }

// fold returns the folded r, or -1 to drop it.
func fold(r rune) rune {
	const fullWidth = 'Ａ' - 'A'
	if value, ok := Value(r); ok {
		return '0' + rune(value)
	}
	switch {
	case Filler(r):
		return -1
	case r >= 'Ａ' && r <= 'Ｚ', r >= 'ａ' && r <= 'ｚ':
		return r - fullWidth
	}
	return r
}
