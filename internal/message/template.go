package message

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// variable is the name of a template variable, written ${name}.
type variable string

const (
	varBrand   variable = "brand"
	varPIN     variable = "pin"
	varExpiry  variable = "pin_expiry" // life of the PIN, a number of minutes
	varMinutes variable = "minutes"    // life of the PIN with the word: "5 minutes"
	varPayee   variable = "payee"
	varAmount  variable = "amount" // number without the currency, which is always the euro
	varEuros   variable = "euros"  // word for euros in the plural form of the amount
)

// template is a text parsed at load time. Values are inserted between the pieces and not
// parsed, so that a brand of "${pin}" or "<break time='9s'/>" is literal text.
type template []piece

// piece is a literal, a variable or a pause; exactly one field is set.
type piece struct {
	literal  string
	variable variable
	pause    time.Duration
}

// markup matches variables and pauses, in the published template syntax of the original
// API.
var markup = regexp.MustCompile(`\$\{([a-z_]+)\}|<break time=['"]([0-9]+m?s)['"] ?/>`)

// parseTemplate parses text. It refuses unknown variables and anything that resembles
// markup, so that typing errors in a locale file are not sent.
func parseTemplate(text string, known map[variable]bool) (template, error) {
	var t template
	end := 0
	literal := func(upTo int) error {
		s := text[end:upTo]
		if strings.ContainsAny(s, "${}<>") {
			return fmt.Errorf("broken markup in %q", s)
		}
		if s != "" {
			t = append(t, piece{literal: s})
		}
		return nil
	}
	for _, m := range markup.FindAllStringSubmatchIndex(text, -1) {
		if err := literal(m[0]); err != nil {
			return nil, err
		}
		end = m[1]
		if name := m[2:4]; name[0] >= 0 {
			v := variable(text[name[0]:name[1]])
			if !known[v] {
				return nil, unknownVariable(v)
			}
			t = append(t, piece{variable: v})
			continue
		}
		pause, err := time.ParseDuration(text[m[4]:m[5]])
		if err != nil || pause <= 0 {
			return nil, fmt.Errorf("pause %q must be a positive duration", text[m[4]:m[5]])
		}
		t = append(t, piece{pause: pause})
	}
	if err := literal(len(text)); err != nil {
		return nil, err
	}
	return t, nil
}

// placeholder matches "${", a name, and an optional "}".
var placeholder = regexp.MustCompile(`\$\{([^{}\n]*)(\}?)`)

// parseText parses the text of an account's SMS: only ${name} is markup. It refuses unknown
// names and a "${" without "}". A text without pauses that parseTemplate accepts has the
// same result here.
func parseText(text string, known map[variable]bool) (template, error) {
	var t template
	end := 0
	literal := func(upTo int) {
		if end < upTo {
			t = append(t, piece{literal: text[end:upTo]})
		}
	}
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		if m[4] == m[5] {
			return nil, fmt.Errorf(`broken markup in %.20q: "}" is missing`, text[m[0]:m[1]])
		}
		v := variable(text[m[2]:m[3]])
		if !known[v] {
			return nil, unknownVariable(v)
		}
		literal(m[0])
		t = append(t, piece{variable: v})
		end = m[1]
	}
	literal(len(text))
	return t, nil
}

func unknownVariable(v variable) error { return fmt.Errorf("variable %.20q is not known here", v) }

var (
	errNoPIN   = errors.New("the PIN is missing")
	errPause   = errors.New("a pause is for calls only")
	errBarePIN = errors.New("a PIN needs a word before and after it, ahead of any variable or digit")
)

// checkSMS requires a PIN and refuses pauses.
func (t template) checkSMS() error {
	var pin bool
	for _, p := range t {
		if p.pause > 0 {
			return errPause
		}
		pin = pin || p.variable == varPIN
	}
	if !pin {
		return errNoPIN
	}
	return nil
}

// checkCall requires a word before and after each PIN, so that no other digit is read as
// part of it (see [Script.Words]).
func (t template) checkCall() error {
	var pin bool
	for i, p := range t {
		if p.variable != varPIN {
			continue
		}
		pin = true
		if !endsInWord(t[:i]) || !beginsWithWord(t[i+1:]) {
			return errBarePIN
		}
	}
	if !pin {
		return errNoPIN
	}
	return nil
}

// checkPaymentSMS is checkSMS for a payment, which also requires payee and amount.
func (t template) checkPaymentSMS() error {
	return cmp.Or(t.checkSMS(), t.checkNames(varPayee, varAmount))
}

// checkPaymentCall is checkCall for a payment. Payee and amount must precede the first PIN,
// because a call that is too long ends there.
func (t template) checkPaymentCall() error {
	first := slices.IndexFunc(t, func(p piece) bool { return p.variable == varPIN })
	return cmp.Or(t.checkCall(), t[:max(0, first)].checkNames(varPayee, varAmount, varEuros))
}

func (t template) checkNames(names ...variable) error {
	for _, name := range names {
		if !slices.ContainsFunc(t, func(p piece) bool { return p.variable == name }) {
			return fmt.Errorf("${%s} is missing; in a call it must precede ${pin}", name)
		}
	}
	return nil
}

func beginsWithWord(t template) bool {
	for _, p := range t {
		if p.pause > 0 {
			continue
		}
		letter := strings.IndexFunc(p.literal, unicode.IsLetter)
		digit := strings.IndexFunc(p.literal, unicode.IsDigit)
		return letter >= 0 && (digit < 0 || letter < digit)
	}
	return false
}

func endsInWord(t template) bool {
	for _, p := range slices.Backward(t) {
		if p.pause > 0 {
			continue
		}
		letter := strings.LastIndexFunc(p.literal, unicode.IsLetter)
		digit := strings.LastIndexFunc(p.literal, unicode.IsDigit)
		return letter > digit
	}
	return false
}

// text returns the template as one string.
func (t template) text(value func(variable) string) string {
	const usual = 12 // octets of a value
	size := 0
	for _, p := range t {
		size += max(usual, len(p.literal))
	}
	var b strings.Builder
	b.Grow(size)
	for _, p := range t {
		if p.variable != "" {
			b.WriteString(value(p.variable))
		}
		b.WriteString(p.literal)
	}
	return b.String()
}

// parts returns the template as the parts of a script: PINs and pauses are separate, and
// all text between them is one part, spoken without interruption.
func (t template) parts(value func(variable) string) []Part {
	var parts []Part
	var text strings.Builder
	flush := func() {
		if strings.TrimSpace(text.String()) != "" {
			parts = append(parts, Part{Text: text.String()})
		}
		text.Reset()
	}
	for _, p := range t {
		switch {
		case p.variable == varPIN:
			flush()
			parts = append(parts, Part{Spell: value(varPIN)})
		case p.pause > 0:
			flush()
			parts = append(parts, Part{Pause: p.pause})
		case p.variable != "":
			text.WriteString(value(p.variable))
		default:
			text.WriteString(p.literal)
		}
	}
	flush()
	return parts
}
