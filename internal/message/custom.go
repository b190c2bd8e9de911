package message

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/verify"
)

// varSeconds is ${pin_expiry} before a word for seconds.
const varSeconds variable = "pin_expiry in seconds"

// MaxTemplate bounds the text of an account's own template, in characters.
const MaxTemplate = 1000

// maxPause bounds one pause in a call.
const maxPause = 5 * time.Second

// Custom is a template of an account's own, for one channel and locale. What it says
// of a payment nobody asks it: the words of payments are ours, since they must name
// payee and amount.
type Custom struct {
	template   template
	locale     string
	recordings *Recordings
}

// Recordings are what a call plays instead of words: ids that the speaker of the
// script knows.
type Recordings struct {
	Welcome string     `json:"welcome_message"`
	Digits  [10]string `json:"digits"`
	Bye     string     `json:"bye_message"`
}

// ParseCustom takes the text of an account's own template apart: ${pin}, which it
// must have, ${brand}, ${pin_expiry}, and in a call <break time='1s'/>. An error says
// to its author what is wrong.
func ParseCustom(channel verify.Channel, locale, text string) (Custom, error) {
	if n := utf8.RuneCountInString(text); n > MaxTemplate {
		return Custom{}, fmt.Errorf("it has %d characters, and may have %d", n, MaxTemplate)
	}
	t, err := parseTemplate(text, map[variable]bool{varPIN: true, varBrand: true, varExpiry: true})
	if err != nil {
		return Custom{}, err
	}
	if err := t.check(); err != nil {
		return Custom{}, err
	}
	if channel == verify.SMS {
		err = t.checkSMS()
	} else if !slices.ContainsFunc(t, func(p piece) bool { return p.variable == varPIN }) {
		err = errNoPIN
	}
	if err != nil {
		return Custom{}, err
	}
	for i := range t {
		if t[i].pause > maxPause {
			return Custom{}, fmt.Errorf("a pause of %s is longer than %s", t[i].pause, maxPause)
		}
		if t[i].variable == varExpiry && i+1 < len(t) && saysSeconds(t[i+1].literal) {
			t[i].variable = varSeconds
		}
	}
	return Custom{template: t, locale: locale}, nil
}

// Recorded is a template for calls in recordings: the PIN comes between the two
// messages.
func Recorded(locale string, r Recordings) Custom { return Custom{locale: locale, recordings: &r} }

// check holds what the template says by itself to [CheckText], line by line. A brand
// must not complete a link that the words begin, nor must digits stand beside a PIN.
func (t template) check() error {
	words := t.text(func(v variable) string {
		if v == varBrand {
			return "com"
		}
		return "0"
	})
	for line := range strings.SplitSeq(words, "\n") {
		if err := CheckText(line); err != nil {
			return err
		}
	}
	return nil
}

// saysSeconds reports whether a text goes on with a word for seconds. The published
// API documents ${pin_expiry} as seconds, and its own templates say minutes; so what
// the text says is what it gets.
func saysSeconds(text string) bool {
	text = strings.ToLower(strings.TrimLeftFunc(text, func(r rune) bool { return !unicode.IsLetter(r) }))
	for _, word := range []string{
		"sec", "sek", "seg", "saniye", "sn", "eil", "detik", "giây", "másodperc", "δευτ", "сек", "ثان", "सेक", "วินาที", "秒", "초",
	} {
		if strings.HasPrefix(text, word) {
			return true
		}
	}
	return false
}

// SMS writes the text of an SMS.
func (c Custom) SMS(in Input) string { return c.template.text(c.values(in)) }

// Call writes the script of a call.
func (c Custom) Call(in Input) Script {
	if r := c.recordings; r != nil {
		return Script{Locale: c.locale, Parts: []Part{
			{Recording: r.Welcome}, {Spell: in.PIN.Reveal(), Digits: &r.Digits}, {Recording: r.Bye},
		}}
	}
	return Script{Locale: c.locale, Parts: c.template.parts(c.values(in))}
}

func (c Custom) values(in Input) func(variable) string {
	return func(v variable) string {
		switch v {
		case varBrand:
			return in.Brand
		case varPIN:
			return in.PIN.Reveal()
		case varExpiry:
			return strconv.Itoa(in.minutes())
		case varSeconds:
			return strconv.Itoa(int(in.ValidFor.Seconds()))
		}
		panic("message: no value for variable " + string(v)) // ParseCustom refuses unknown ones
	}
}
