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
	fallback        = "en-us" // used for an unaccepted locale
	paymentFallback = "en-gb" // used for a payment without a locale of its payer
)

// longestMinutes is the longest life of a PIN for which texts need words.
const longestMinutes = 60

//go:embed locales/*.json accepted.txt countries.txt prefixes.txt
var data embed.FS

// Catalog has the texts of all locales and selects the locale of a message. It is immutable
// and safe for concurrent use.
type Catalog struct {
	wordings  map[string]*wording // keyed by locale
	accepted  map[string]acceptance
	countries map[string]country // keyed by ISO 3166-1 alpha-2 code
	prefixes  map[string]country // keyed by the first digits of a number
	chosen    map[string]string  // locales configured by the operator, by country
}

// wording has the texts of one locale.
type wording struct {
	language  language.Tag
	money     money // words of an amount, for calls
	numbers   numbers
	sms, call map[Kind]template // texts of verifications, and of payments if the locale has any
	short     template          // shorter SMS of a verification, or nil
	payments  *wording          // replacement for payments, or nil

	minutes, spokenMinutes minutes // "5 minutes"
}

// New loads the catalog. An error means that the program was built with an invalid data
// file.
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

// WithFile returns a catalog with the texts of an operator's file, in the format of the
// files under locales/. The file has the name of its locale: "eu-es.json" adds a locale,
// and "de-de.json" replaces the built-in one, except payment texts that the file lacks. lg
// accepts the locale, for payments if it has their texts. An error contains file, line and
// defect.
func (c *Catalog) WithFile(name string, text []byte) (*Catalog, error) {
	locale, isJSON := strings.CutSuffix(path.Base(name), ".json")
	if !isJSON || !IsLocaleName(locale) {
		return nil, fmt.Errorf("%s: the file name must be a locale and .json, such as eu-es.json", name)
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

// with returns a catalog with the texts of a locale. Without payment texts, those of the
// replaced locale remain.
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

// check verifies that accepted.txt and the locale files match.
func (c *Catalog) check() error {
	for locale, a := range c.accepted {
		switch w := c.wordings[locale]; {
		case w == nil:
			return fmt.Errorf("message: accepted.txt lists %s, which has no locale file", locale)
		case a.kinds[Payment] && w.sms[Payment] == nil:
			return fmt.Errorf("message: locale %s accepts payments but has no payment texts", locale)
		}
	}
	for locale := range c.wordings {
		if _, ok := c.accepted[locale]; !ok {
			return fmt.Errorf("message: accepted.txt lacks %s", locale)
		}
	}
	return nil
}

// SMS returns the text of an SMS. Amounts have the format of the locale, with the euro
// sign: "€1,248.50" or "1.248,50 €".
func (c *Catalog) SMS(in Input) string {
	_, w := c.wording(in.kind(), in.Locale)
	return w.sms[in.kind()].text(w.values(in, w.minutes, w.written))
}

// ShortSMS returns a shorter text for an SMS of a verification with an additional line; ""
// if the locale has no short text.
func (c *Catalog) ShortSMS(in Input) string {
	_, w := c.wording(in.kind(), in.Locale)
	if in.kind() != Verification || w.short == nil {
		return ""
	}
	return w.short.text(w.values(in, w.minutes, w.written))
}

// Call returns the script of a call.
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

// wording returns the texts for a locale, and their locale: a fallback if the locale has no
// texts, or no payment texts.
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

// of returns the texts for messages of a kind.
func (w *wording) of(kind Kind) *wording {
	if kind == Payment && w.payments != nil {
		return w.payments
	}
	return w
}

// written formats an amount for an SMS, which has the euro sign in its template.
func (w *wording) written(amount string) (number, unit string) {
	return w.numbers.written(amount), ""
}

// spoken formats an amount for a call.
func (w *wording) spoken(amount string) (number, unit string) {
	return w.money.spoken(w.numbers, amount)
}

// values returns a function with the text of each variable of a message. m and amount
// format minutes and amounts.
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
		panic("message: no value for variable " + string(v)) // parseTemplate refuses unknown variables
	}
	return value
}
