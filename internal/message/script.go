package message

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Script is what a call says, part by part.
type Script struct {
	Locale string `json:"locale"` // of the voice; the locale the words are written in
	Parts  []Part `json:"parts"`

	// Payment means that the words before the PIN name payee and amount, which the
	// payer must hear.
	Payment bool `json:"payment,omitempty"`
}

// Part is one piece of a script. Exactly one of Text, Spell, Pause and Recording is
// set; Brief comes with Text, and Digits with Spell.
type Part struct {
	Text  string        `json:"text,omitempty"`  // spoken as it stands: nothing in it is markup
	Brief string        `json:"brief,omitempty"` // Text without its greeting, for a call that would be too long; "" without one
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

// sentence matches a first sentence without variables, and the space after it.
var sentence = regexp.MustCompile(`^\s*[^.!。।։۔]+[.!。।։۔]\s*`)

// greeting returns the first sentence of a call's template if it has no variable;
// "" otherwise.
func (t template) greeting() string {
	for _, p := range t {
		if p.pause == 0 {
			return sentence.FindString(p.literal)
		}
	}
	return ""
}

// markGreeting sets Brief of the part that begins with greeting.
func markGreeting(parts []Part, greeting string) {
	for i, p := range parts {
		if p.Text == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(p.Text, greeting); ok && greeting != "" {
			parts[i].Brief = rest
		}
		return
	}
}
