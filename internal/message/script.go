package message

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Script is what a call says, part by part.
type Script struct {
	Locale string `json:"locale"` // of the voice; the locale the words are written in
	Parts  []Part `json:"parts"`
}

// Part is one piece of a script; exactly one of its fields is set, but that Digits
// comes with Spell.
type Part struct {
	Text  string        `json:"text,omitempty"`  // spoken as it stands: nothing in it is markup
	Spell string        `json:"spell,omitempty"` // a PIN, spoken letter by letter
	Pause time.Duration `json:"pause,omitempty"` // silence

	Recording string      `json:"recording,omitempty"` // id of a sound that is played
	Digits    *[10]string `json:"digits,omitempty"`    // ids of the sounds of 0 to 9 in Spell; nil for the voice's
}

// Words gives the script as text without markup. Digits of a PIN are separated
// by ", ", and templates see to it that a word stands between a PIN and any
// other digit, so that a reader (a test, or a person with the virtual phone)
// can find the PIN again.
func (s Script) Words() string {
	var b strings.Builder
	for _, p := range s.Parts {
		words := p.Text
		if p.Spell != "" {
			words = strings.Join(strings.Split(p.Spell, ""), ", ")
		}
		if !opensWithPunctuation(words) {
			b.WriteByte(' ')
		}
		b.WriteString(words)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// opensWithPunctuation reports whether s begins with a mark that belongs to the
// word before it, as in "1, 2, 3, 4" + ", I repeat".
func opensWithPunctuation(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return strings.ContainsRune(".,;:!?…)。、，।،؛؟۔։՝", r)
}
