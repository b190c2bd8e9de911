package message

import (
	"embed"
	"fmt"
	"strconv"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

const (
	fallback        = "en-us" // speaks for a locale that is not accepted
	paymentFallback = "en-gb" // spoken to a payer whose own language is not known
)

// longestMinutes is the longest life of a PIN that a text must be able to say.
const longestMinutes = 60

//go:embed locales/*.json accepted.txt countries.txt
var data embed.FS

// Catalog holds the texts of all locales and chooses the locale of a message.
// It never changes and may be used by many goroutines.
type Catalog struct {
	wordings  map[string]*wording // by locale
	accepted  map[string]acceptance
	countries map[string]country // by ISO 3166-1 alpha-2 code
}

// wording is what one locale says.
type wording struct {
	language  language.Tag
	euros     map[plural.Form]string // the word, for calls
	numbers   numbers
	sms, call map[Kind]template

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
	if c.wordings, err = loadWordings(); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	for locale := range c.accepted {
		if c.wordings[locale] == nil {
			return nil, fmt.Errorf("message: locale %s is accepted and has no words", locale)
		}
	}
	for locale := range c.wordings {
		if _, ok := c.accepted[locale]; !ok {
			return nil, fmt.Errorf("message: locale %s has words and is not accepted", locale)
		}
	}
	return c, nil
}

// SMS writes the text of an SMS. An amount is written as the locale writes it,
// with the euro sign: "€1,248.50" or "1.248,50 €"; a call says the word, "1248.50
// euros".
func (c *Catalog) SMS(in Input) string {
	_, w := c.wording(in.Locale)
	return w.sms[in.kind()].text(w.values(in, w.minutes, w.numbers.written))
}

// Call writes the script of a call.
func (c *Catalog) Call(in Input) Script {
	locale := in.Locale
	if c.accepted[locale].englishCall {
		locale = paymentFallback
	}
	locale, w := c.wording(locale)
	return Script{Locale: locale, Parts: w.call[in.kind()].parts(w.values(in, w.spokenMinutes, w.numbers.spoken))}
}

// wording finds the words for a locale, and the locale whose words they are.
func (c *Catalog) wording(locale string) (string, *wording) {
	if w, ok := c.wordings[locale]; ok {
		return locale, w
	}
	return fallback, c.wordings[fallback]
}

// values answers what each variable stands for in a message; m and amount are how
// minutes and amounts are put there.
func (w *wording) values(in Input, m minutes, amount func(string) string) func(variable) string {
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
			return amount(in.Payment.Amount)
		case varEuros:
			if word := w.euros[w.numbers.form(in.Payment.Amount)]; word != "" {
				return word
			}
			return w.euros[plural.Other]
		}
		panic("message: no value for variable " + string(v)) // parseTemplate refuses unknown ones
	}
	return value
}
