package message

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Script is the content of a call as a list of parts.
type Script struct {
	Locale string `json:"locale"` // locale of the words and the voice
	Parts  []Part `json:"parts"`

	// Payment marks a script that states payee and amount before the PIN; the payer must
	// hear them.
	Payment bool `json:"payment,omitempty"`
}

// Part is one piece of a script. Exactly one of Text, Spell, Pause and Recording is
// set; Brief comes with Text, and Digits with Spell.
type Part struct {
	Text  string        `json:"text,omitempty"`  // spoken literally, without markup
	Brief string        `json:"brief,omitempty"` // Text without its greeting, for a call that would be too long, or ""
	Spell string        `json:"spell,omitempty"` // a PIN, spoken letter by letter
	Pause time.Duration `json:"pause,omitempty"` // silence

	Recording string      `json:"recording,omitempty"` // id of a recording
	Digits    *[10]string `json:"digits,omitempty"`    // ids of the recordings of 0 to 9 for Spell; nil to use the voice
}

// Words returns the script as text without markup. Digits of a PIN are separated by ", ".
// Templates have a word between a PIN and any other digit, so that a reader (a test, or a
// user of the virtual phone) can find the PIN.
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

// opensWithPunctuation reports whether s begins with a mark that is written without a
// space, as in "1, 2, 3, 4" + ", I repeat".
func opensWithPunctuation(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return strings.ContainsRune(".,;:!?…)。、，।،؛؟۔։՝", r)
}

// sentence matches a first sentence without variables, and the following space.
var sentence = regexp.MustCompile(`^\s*[^.!。।։۔]+[.!。।։۔]\s*`)

// greeting returns the first sentence of a call's template if it has no variable; otherwise
// "".
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
