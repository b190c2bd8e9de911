package message

import (
	"strings"
	"time"
)

// Script is what a call says, part by part.
type Script struct {
	Locale string `json:"locale"` // of the voice; the locale the words are written in
	Parts  []Part `json:"parts"`
}

// Part is one piece of a script; exactly one of its fields is set.
type Part struct {
	Text  string        `json:"text,omitempty"`  // spoken as it stands
	Spell string        `json:"spell,omitempty"` // a PIN, spoken letter by letter
	Pause time.Duration `json:"pause,omitempty"` // silence
}

// Words gives the script as text without markup. Digits of a PIN are separated
// by ", ", and templates see to it that a word stands between a PIN and any
// other digit, so that a reader (a test, or a person with the virtual phone)
// can find the PIN again.
func (s Script) Words() string {
	var words []string
	for _, p := range s.Parts {
		switch {
		case p.Spell != "":
			words = append(words, strings.Join(strings.Split(p.Spell, ""), ", "))
		case p.Text != "":
			words = append(words, strings.TrimSpace(p.Text))
		}
	}
	return strings.Join(words, " ")
}
