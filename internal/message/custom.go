package message

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/verify"
)

// varSeconds is ${pin_expiry} followed by a word for seconds.
const varSeconds variable = "pin_expiry in seconds"

// MaxTemplate is the maximum length of a custom template in characters.
const MaxTemplate = 1000

// maxPause is the maximum length of one pause in a call.
const maxPause = 5 * time.Second

// Custom is an account's template for one channel and locale. It does not apply to
// payments, since their texts must contain payee and amount.
type Custom struct {
	template   template
	locale     string
	recordings *Recordings
}

// Recordings replace the words of a call by recordings. The ids are interpreted by the
// player of the script.
type Recordings struct {
	Welcome string     `json:"welcome_message"`
	Digits  [10]string `json:"digits"`
	Bye     string     `json:"bye_message"`
}

// ParseCustom parses the text of a custom template. It must contain ${pin} and may contain
// ${brand} and ${pin_expiry}. A text for a written channel has no other markup, so "<#>",
// "$5" and "&" arrive unchanged. A text for a spoken channel may also contain <break
// time='1s'/>; other markup is an error. An error names the defect for the author.
func ParseCustom(channel verify.Channel, locale, text string) (Custom, error) {
	if n := utf8.RuneCountInString(text); n > MaxTemplate {
		return Custom{}, fmt.Errorf("too long: %d characters, at most %d", n, MaxTemplate)
	}
	parse, check := parseText, template.checkSMS
	if channel.Spoken() {
		parse, check = parseTemplate, template.checkLength
	}
	t, err := parse(text, map[variable]bool{varPIN: true, varBrand: true, varExpiry: true})
	if err != nil {
		return Custom{}, err
	}
	if err := t.check("com", ""); err != nil { // a brand of "com" would complete a link
		return Custom{}, err
	}
	if err := cmp.Or(check(t), t.checkApart()); err != nil {
		return Custom{}, err
	}
	for i := range t {
		if t[i].variable == varExpiry && i+1 < len(t) && saysSeconds(t[i+1].literal) {
			t[i].variable = varSeconds
		}
	}
	return Custom{template: t, locale: locale}, nil
}

// Recorded is a template for calls from recordings, with the PIN between the two messages.
func Recorded(locale string, r Recordings) Custom { return Custom{locale: locale, recordings: &r} }

// Names returns why the template must not contain a brand, or nil: with the words of the
// template it would form a link, a run of digits or invisible characters.
func (c Custom) Names(brand string) error { return c.template.check(brand, "") }

// NamesLink is [Custom.Names] for a brand that may look like a link. The words of the
// template must not form another link, such as evil-booking.com.
func (c Custom) NamesLink(brand string) error { return c.template.check(brand, brand) }

// check applies [checkText] to each line of the template with a brand.
func (t template) check(brand, allowed string) error {
	words := t.text(func(v variable) string {
		if v == varBrand {
			return brand
		}
		return "0"
	})
	for line := range strings.SplitSeq(words, "\n") {
		if err := checkText(line, allowed); err != nil {
			return err
		}
	}
	return nil
}

// checkApart refuses a PIN adjacent to a digit or another variable, since its end would be
// unclear.
func (t template) checkApart() error {
	isDigit := func(r rune, _ int) bool { return unicode.IsNumber(r) }
	for i, p := range t {
		if p.variable != varPIN {
			continue
		}
		if i > 0 && (t[i-1].variable != "" || isDigit(utf8.DecodeLastRuneInString(t[i-1].literal))) ||
			i < len(t)-1 && (t[i+1].variable != "" || isDigit(utf8.DecodeRuneInString(t[i+1].literal))) {
			return errors.New("the PIN must not be adjacent to a digit or another variable")
		}
	}
	return nil
}

// A call is limited to 30 seconds (tts.MaxDuration) and otherwise shortened. A voice speaks
// about 14 letters a second, or 6 characters of a script with one character for a syllable
// or word, and a digit in 0.9 seconds.
const (
	maxSaid     = 30 * time.Second
	letterTime  = time.Second / 14
	hanTime     = time.Second / 6
	digitTime   = 900 * time.Millisecond
	usualDigits = 6
)

// checkLength refuses a call without a PIN, or above maxSaid.
func (t template) checkLength() error {
	var said time.Duration
	pin := false
	for _, p := range t {
		if p.pause > maxPause {
			return fmt.Errorf("a pause of %s is longer than %s", p.pause, maxPause)
		}
		said += p.pause
		switch p.variable {
		case "":
		case varPIN:
			pin = true
			said += usualDigits * digitTime
		default:
			said += time.Second
		}
		for _, r := range p.literal {
			if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) {
				said += hanTime
			} else {
				said += letterTime
			}
		}
	}
	if !pin {
		return errNoPIN
	}
	if said > maxSaid {
		return fmt.Errorf("too long: the call would take about %s, at most %s", said.Round(time.Second), maxSaid)
	}
	return nil
}

// saysSeconds reports whether a text begins with a word for seconds. The published API
// documents ${pin_expiry} as seconds, but its own templates use minutes, so the word
// decides the unit.
func saysSeconds(text string) bool {
	text = strings.ToLower(strings.TrimLeft(text, " \u00a0-"))
	end := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) })
	if end < 0 {
		end = len(text)
	}
	word := text[:end]
	return slices.Contains([]string{"s", "sn", "sec", "secs", "sek", "seg"}, word) ||
		slices.ContainsFunc([]string{
			"second", "secund", "sekund", "sekunt", "sekúnd", "segund", "saniye", "eiliad", "detik", "giây", "másodperc", "δευτερ",
			"секунд", "ثان", "ثوان", "שני", "सेक", "วินาที", "秒", "초",
		}, func(begin string) bool { return strings.HasPrefix(word, begin) })
}

// Text returns the text for a written channel.
func (c Custom) Text(in Input) string { return c.template.text(c.values(in)) }

// Call returns the script for a spoken channel.
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
			return strconv.Itoa(in.seconds())
		}
		panic("message: no value for variable " + string(v)) // ParseCustom refuses unknown variables
	}
}
