package message

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxName is how many characters a brand or a payee may have.
const MaxName = 18

// Reasons to refuse a text that a stranger wants sent in our name.
var (
	ErrEmpty     = errors.New("there is nothing to be seen")
	ErrTooLong   = errors.New("more than 18 characters")
	ErrInvisible = errors.New("a character that nobody sees, or that changes the direction of the text")
	ErrLink      = errors.New("a phone would make a link of it")
	ErrDigits    = errors.New("five or more digits in a row, which look like a code")
)

// maxDigits is how long a run of digits in a text may be. The shortest PIN has four
// digits, but so do years and house numbers, which names have.
const maxDigits = 4

// CheckName reports why name cannot be the brand or payee of a message; nil if it
// can. It counts the code points of the composed form (NFC), so that "é" is one
// however it was typed.
func CheckName(name string) error {
	switch {
	case utf8.RuneCountInString(norm.NFC.String(name)) > MaxName:
		return ErrTooLong
	case strings.TrimSpace(name) == "":
		return ErrEmpty
	}
	return CheckText(name)
}

// CheckText reports why a text that somebody else wrote, a name or the words of a
// template, cannot stand in a message; nil if it can. Any character of any script may
// be in it that can be seen. It may have nothing that a phone makes a link of, no run
// of five digits, and nothing that hides how it reads.
func CheckText(text string) error {
	switch {
	case !visible(text):
		return ErrInvisible
	case hasLink(text):
		return ErrLink
	case hasDigits(text):
		return ErrDigits
	}
	return nil
}

// visible reports whether each character can be seen: letters, marks, digits,
// punctuation, symbols and spaces. Controls, marks of direction, zero-width
// characters, fillers, private and unassigned ones cannot, but for two kinds that
// writing needs in their place: joiners within a word of a script that has them, and
// the selector that gives a symbol its colours.
func visible(text string) bool {
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
				return false
			}
		case unicode.Is(unicode.Variation_Selector, r):
			if !selects(before, r) {
				return false
			}
		case r == utf8.RuneError || !shown(r):
			return false
		}
	}
	return true
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
