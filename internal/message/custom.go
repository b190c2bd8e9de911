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

// ParseCustom parses the text of an account's own template. It must contain ${pin} and
// may contain ${brand} and ${pin_expiry}. Only these are special on a written channel, so
// "<#>", "$5" and "&" arrive unchanged. A spoken one may also contain <break time='1s'/>, and
// other markup is an error there. An error names the defect for the author.
func ParseCustom(channel verify.Channel, locale, text string) (Custom, error) {
	if n := utf8.RuneCountInString(text); n > MaxTemplate {
		return Custom{}, fmt.Errorf("it has %d characters, and may have %d", n, MaxTemplate)
	}
	parse, check := parseText, template.checkSMS
	if channel.Spoken() {
		parse, check = parseTemplate, template.checkLength
	}
	t, err := parse(text, map[variable]bool{varPIN: true, varBrand: true, varExpiry: true})
	if err != nil {
		return Custom{}, err
	}
	if err := t.check("com", ""); err != nil { // which would complete a link
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

// Recorded is a template for calls in recordings: the PIN comes between the two
// messages.
func Recorded(locale string, r Recordings) Custom { return Custom{locale: locale, recordings: &r} }

// Names reports why a brand cannot stand in the template: together with its words it
// would have a link, digits or invisible characters.
func (c Custom) Names(brand string) error { return c.template.check(brand, "") }

// NamesLink is [Custom.Names] for a brand that may look like a link. The words of the
// template must not complete another link, such as evil-booking.com.
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

// checkApart refuses a PIN that could not be told from what stands beside it.
func (t template) checkApart() error {
	isDigit := func(r rune, _ int) bool { return unicode.IsNumber(r) }
	for i, p := range t {
		if p.variable != varPIN {
			continue
		}
		if i > 0 && (t[i-1].variable != "" || isDigit(utf8.DecodeLastRuneInString(t[i-1].literal))) ||
			i < len(t)-1 && (t[i+1].variable != "" || isDigit(utf8.DecodeRuneInString(t[i+1].literal))) {
			return errors.New("a digit or another variable stands beside the PIN")
		}
	}
	return nil
}

// A call may take 30 seconds (tts.MaxDuration); a longer one would be shortened. A voice
// says some 14 letters a second, or 6 characters of the scripts that have one for a
// syllable or a word, and a digit in 0.9 seconds.
const (
	maxSaid     = 30 * time.Second
	letterTime  = time.Second / 14
	hanTime     = time.Second / 6
	digitTime   = 900 * time.Millisecond
	usualDigits = 6
)

// checkLength refuses a call that has no PIN, or would take too long.
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
		return fmt.Errorf("it would take about %s to say, and a call may take %s", said.Round(time.Second), maxSaid)
	}
	return nil
}

// saysSeconds reports whether a text goes on with a word for seconds. The published
// API documents ${pin_expiry} as seconds, and its own templates say minutes; so what
// the text says is what it gets.
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

// Text writes the text for a written channel.
func (c Custom) Text(in Input) string { return c.template.text(c.values(in)) }

// Call writes the script for a spoken channel.
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
		panic("message: no value for variable " + string(v)) // ParseCustom refuses unknown ones
	}
}
