package message

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxName is the maximum length of a brand or payee in characters.
const MaxName = 18

// Reasons to refuse a text from outside. Errors wrap them and add details such as the
// length, the code point or the link.
var (
	ErrEmpty     = errors.New("no visible character")
	ErrTooLong   = errors.New("too long")
	ErrInvisible = errors.New("invisible or control character")
	ErrLink      = errors.New("looks like a link")
	ErrDigits    = errors.New("five or more digits in a row look like a code")
)

// maxDigits is the maximum length of a run of digits. The shortest PIN has four digits, but
// names contain years and house numbers.
const maxDigits = 4

// CheckName returns why name must not be the brand or payee of a message, or nil. The
// length is measured in code points of the composed form (NFC), so that both forms of "é"
// count as one.
func CheckName(name string) error { return checkName(name, "") }

// CheckLinkName is [CheckName] for a name that an operator permits although it looks like a
// link, such as Booking.com. All other checks apply.
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

// checkText checks a name or the words of a template. It refuses invisible characters, a
// run of five digits, and text that a phone shows as a link, except the links in allowed.
// Visible characters of all scripts are valid.
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

// invisible returns the first invisible character. Visible are letters, marks, digits,
// punctuation, symbols and spaces. Invisible are controls, marks of direction, zero-width
// characters, fillers, private and unassigned ones, with two exceptions: joiners within a
// word of a script that uses them, and the emoji selector after a symbol.
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

// joiningScripts returns the scripts that use the zero-width joiner and non-joiner within
// words: Persian and its neighbours, and the scripts of India.
func joiningScripts() []*unicode.RangeTable {
	return []*unicode.RangeTable{
		unicode.Arabic, unicode.Bengali, unicode.Devanagari, unicode.Gujarati, unicode.Gurmukhi, unicode.Kannada,
		unicode.Khmer, unicode.Malayalam, unicode.Mongolian, unicode.Oriya, unicode.Sinhala, unicode.Syriac,
		unicode.Tamil, unicode.Telugu,
	}
}

// joins reports whether a joiner is valid between two characters: a letter or its mark, and
// a letter of the same script.
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

// selects reports whether a variation selector has a visible effect.
func selects(before, selector rune) bool {
	if unicode.Is(unicode.Mongolian, selector) {
		return unicode.Is(unicode.Mongolian, before) && unicode.IsLetter(before)
	}
	return selector == emojiSelector && unicode.IsSymbol(before)
}

// hasDigits reports whether text has a run of more than maxDigits digits, of any script or
// such as ① and ⁵. Marks and joiners do not end a run.
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
