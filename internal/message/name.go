package message

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxName is how many characters a brand or a payee may have.
const MaxName = 18

// Reasons to refuse a text from outside. The errors returned wrap them and
// add the detail: the length, the code point, the link.
var (
	ErrEmpty     = errors.New("nothing visible")
	ErrTooLong   = errors.New("too long")
	ErrInvisible = errors.New("invisible or control character")
	ErrLink      = errors.New("looks like a link")
	ErrDigits    = errors.New("five or more digits in a row look like a code")
)

// maxDigits is how long a run of digits in a text may be. The shortest PIN has four
// digits, but so do years and house numbers, which names have.
const maxDigits = 4

// CheckName reports why name cannot be the brand or payee of a message; nil if it
// can. It counts the code points of the composed form (NFC), so that "é" is one
// however it was typed.
func CheckName(name string) error { return checkName(name, "") }

// CheckLinkName is [CheckName] for a name that an operator allows although it looks like
// a link, such as Booking.com. Every other reason still refuses it.
func CheckLinkName(name string) error { return checkName(name, name) }

func checkName(name, allowed string) error {
	if n := utf8.RuneCountInString(norm.NFC.String(name)); n > MaxName {
		return fmt.Errorf("%w: %d characters, at most %d", ErrTooLong, n, MaxName)
	}
	if strings.TrimSpace(name) == "" {
		return ErrEmpty
	}
	return checkText(name, allowed)
}

// checkText returns an error for a name or the words of a template that must not appear
// in a message: invisible characters, a run of five digits, and text that a phone shows
// as a link, except the links of allowed. Visible characters of all scripts are valid.
func checkText(text, allowed string) error {
	if r, hidden := invisible(text); hidden {
		return fmt.Errorf("%w: U+%04X", ErrInvisible, r)
	}
	if link := findLink(text, allowed); link != "" {
		return fmt.Errorf("%w: %s", ErrLink, link)
	}
	if hasDigits(text) {
		return ErrDigits
	}
	return nil
}

// invisible finds the first character that cannot be seen. Letters, marks, digits,
// punctuation, symbols and spaces can. Controls, marks of direction, zero-width
// characters, fillers, private and unassigned ones cannot. Writing needs two exceptions:
// joiners within a word of a script that has them, and the emoji selector after a symbol.
func invisible(text string) (first rune, found bool) {
	runes := []rune(text)
	for i, r := range runes {
		var before, after rune
		if i > 0 {
			before = runes[i-1]
		}
		if i < len(runes)-1 {
			after = runes[i+1]
		}
		switch {
		case r == zeroWidthNonJoiner || r == zeroWidthJoiner:
			if !joins(before, after) {
				return r, true
			}
		case unicode.Is(unicode.Variation_Selector, r):
			if !selects(before, r) {
				return r, true
			}
		case r == utf8.RuneError || !shown(r):
			return r, true
		}
	}
	return 0, false
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
	brailleBlank       = '\u2800'
	emojiSelector      = '\ufe0f'
)

func shown(r rune) bool {
	return unicode.IsGraphic(r) && r != brailleBlank && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// joiningScripts are those whose orthographies use the zero-width joiner and
// non-joiner within words: Persian and its neighbours, and those of India.
func joiningScripts() []*unicode.RangeTable {
	return []*unicode.RangeTable{
		unicode.Arabic, unicode.Bengali, unicode.Devanagari, unicode.Gujarati, unicode.Gurmukhi, unicode.Kannada,
		unicode.Khmer, unicode.Malayalam, unicode.Mongolian, unicode.Oriya, unicode.Sinhala, unicode.Syriac,
		unicode.Tamil, unicode.Telugu,
	}
}

// joins reports whether a joiner may stand between two characters: a letter, or the
// mark on one, and a letter of the same script.
func joins(before, after rune) bool {
	if !unicode.IsLetter(after) || !unicode.IsLetter(before) && !unicode.IsMark(before) {
		return false
	}
	for _, script := range joiningScripts() {
		if unicode.Is(script, before) && unicode.Is(script, after) {
			return true
		}
	}
	return false
}

// selects reports whether a variation selector does something visible.
func selects(before, selector rune) bool {
	if unicode.Is(unicode.Mongolian, selector) {
		return unicode.Is(unicode.Mongolian, before) && unicode.IsLetter(before)
	}
	return selector == emojiSelector && unicode.IsSymbol(before)
}

// hasDigits reports whether there are too many digits in a row, of any script, or
// such as ① and ⁵. A mark or a joiner between them does not part them.
func hasDigits(text string) bool {
	run := 0
	for _, r := range text {
		switch {
		case unicode.IsDigit(r) || unicode.Is(unicode.No, r):
			run++
		case unicode.IsMark(r) || unicode.Is(unicode.Cf, r):
		default:
			run = 0
		}
		if run > maxDigits {
			return true
		}
	}
	return false
}
