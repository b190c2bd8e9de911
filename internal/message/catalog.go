package message

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

const (
	fallback        = "en-us" // speaks for a locale that is not accepted
	paymentFallback = "en-gb" // spoken to a payer whose own language is not known
)

// longestMinutes is the longest life of a PIN that a text must be able to say.
const longestMinutes = 60

//go:embed locales/*.json accepted.txt countries.txt prefixes.txt
var data embed.FS

// Catalog holds the texts of all locales and chooses the locale of a message.
// It never changes and may be used by many goroutines.
type Catalog struct {
	wordings  map[string]*wording // by locale
	accepted  map[string]acceptance
	countries map[string]country // by ISO 3166-1 alpha-2 code
	prefixes  map[string]country // by the first digits of a number
	chosen    map[string]string  // locales that the operator chose, by country
}

// wording is what one locale says.
type wording struct {
	language  language.Tag
	money     money // words of an amount, for calls
	numbers   numbers
	sms, call map[Kind]template // of a payment only in locales that have such texts
	short     template          // SMS of a verification; nil for none
	payments  *wording          // texts of payments in place of these; nil for these

	minutes, spokenMinutes minutes // "5 minutes"
}

// New loads the catalog. An error means that the program was built with a
// broken data file.
func New() (*Catalog, error) {
	c := &Catalog{}
	var err error
	if c.accepted, err = loadAccepted(); err != nil {
		return nil, fmt.Errorf("message: accepted locales: %w", err)
	}
	if c.countries, err = loadCountries(c.accepted); err != nil {
		return nil, fmt.Errorf("message: locales of countries: %w", err)
	}
	if c.prefixes, err = loadPrefixes(c.accepted); err != nil {
		return nil, fmt.Errorf("message: locales of prefixes: %w", err)
	}
	if c.wordings, err = loadWordings(); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return c, c.check()
}

// WithFile returns a catalog with the texts of an operator's own file, in the form of
// those under locales/. The name of the file is that of the locale: "eu-es.json" adds
// a locale, and "de-de.json" replaces ours, except the texts of payments if the file has
// none. lg accepts the locale, for payments if it has their texts. An error names file,
// line and defect.
func (c *Catalog) WithFile(name string, text []byte) (*Catalog, error) {
	locale, isJSON := strings.CutSuffix(path.Base(name), ".json")
	if !isJSON || !IsLocaleName(locale) {
		return nil, fmt.Errorf("%s: the name of the file must be a locale and .json, such as eu-es.json", name)
	}
	f, err := parseWordingFile(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", name, err)
	}
	w := c.wordings[LocaleName(f.SameAs)]
	switch {
	case f.SameAs != "" && w == nil:
		return nil, fmt.Errorf("%s:%d: same_as: %q is not a locale%s", name, lineOf(text, "same_as"), f.SameAs, LocaleHint(f.SameAs, c.All()))
	case f.SameAs == "":
		if w, err = f.wording(locale); err != nil {
			line := lineOf(text, "language")
			var defect *textError
			if errors.As(err, &defect) {
				line = lineOf(text, defect.key)
			}
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
	}
	return c.with(locale, w), nil
}

// with returns a catalog with the texts of a locale, and with those of payments that it
// replaces if it has none.
func (c *Catalog) with(locale string, w *wording) *Catalog {
	accepted := acceptance{kinds: map[Kind]bool{Verification: true, Payment: w.sms[Payment] != nil}}
	if old := c.wordings[locale]; old != nil && w.sms[Payment] == nil {
		both := *w
		both.payments = old.of(Payment)
		w, accepted.kinds[Payment], accepted.englishCall = &both, c.accepted[locale].kinds[Payment], c.accepted[locale].englishCall
	}
	other := *c
	other.wordings, other.accepted = maps.Clone(c.wordings), maps.Clone(c.accepted)
	other.wordings[locale], other.accepted[locale] = w, accepted
	return &other
}

// check compares the list of locales with their files.
func (c *Catalog) check() error {
	for locale, a := range c.accepted {
		switch w := c.wordings[locale]; {
		case w == nil:
			return fmt.Errorf("message: accepted.txt names %s, which has no texts", locale)
		case a.kinds[Payment] && w.sms[Payment] == nil:
			return fmt.Errorf("message: locale %s is for payments and has no text for them", locale)
		}
	}
	for locale := range c.wordings {
		if _, ok := c.accepted[locale]; !ok {
			return fmt.Errorf("message: accepted.txt lacks %s", locale)
		}
	}
	return nil
}

// SMS writes the text of an SMS. An amount is written as the locale writes it,
// with the euro sign: "€1,248.50" or "1.248,50 €".
func (c *Catalog) SMS(in Input) string {
	_, w := c.wording(in.kind(), in.Locale)
	return w.sms[in.kind()].text(w.values(in, w.minutes, w.written))
}

// ShortSMS writes a shorter text of the SMS of a verification, for one with a line
// after it; "" if the locale has none.
func (c *Catalog) ShortSMS(in Input) string {
	_, w := c.wording(in.kind(), in.Locale)
	if in.kind() != Verification || w.short == nil {
		return ""
	}
	return w.short.text(w.values(in, w.minutes, w.written))
}

// Call writes the script of a call.
func (c *Catalog) Call(in Input) Script {
	locale := in.Locale
	if in.kind() == Payment && c.accepted[locale].englishCall {
		locale = paymentFallback
	}
	locale, w := c.wording(in.kind(), locale)
	t := w.call[in.kind()]
	parts := t.parts(w.values(in, w.spokenMinutes, w.spoken))
	markGreeting(parts, t.greeting())
	return Script{Locale: locale, Parts: parts, Payment: in.Payment != nil}
}

// wording returns the words for a locale, and the locale that they are in: another one
// for a locale without texts, or without texts for payments.
func (c *Catalog) wording(kind Kind, locale string) (string, *wording) {
	w := c.wordings[locale]
	if w == nil {
		return fallback, c.wordings[fallback].of(kind)
	}
	if w = w.of(kind); w.sms[kind] == nil {
		return paymentFallback, c.wordings[paymentFallback].of(kind)
	}
	return locale, w
}

// of returns the words for messages of a kind.
func (w *wording) of(kind Kind) *wording {
	if kind == Payment && w.payments != nil {
		return w.payments
	}
	return w
}

// written returns an amount for the eye; an SMS has the euro sign in its template.
func (w *wording) written(amount string) (number, unit string) {
	return w.numbers.written(amount), ""
}

// spoken returns an amount for a voice.
func (w *wording) spoken(amount string) (number, unit string) {
	return w.money.spoken(w.numbers, amount)
}

// values returns the text of each variable of a message. m and amount give the form
// of minutes and amounts in it.
func (w *wording) values(in Input, m minutes, amount func(string) (number, unit string)) func(variable) string {
	var value func(variable) string
	value = func(v variable) string {
		switch v {
		case varBrand:
			return in.Brand
		case varPIN:
			return in.PIN.Reveal()
		case varExpiry:
			return strconv.Itoa(in.minutes())
		case varMinutes:
			return m.of(in.minutes()).text(value)
		case varPayee:
			return in.Payment.Payee
		case varAmount:
			number, _ := amount(in.Payment.Amount)
			return number
		case varEuros:
			_, unit := amount(in.Payment.Amount)
			return unit
		}
		panic("message: no value for variable " + string(v)) // parseTemplate refuses unknown ones
	}
	return value
}
