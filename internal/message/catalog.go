package message

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

const (
	fallback        = "en-us" // speaks for a locale without text
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
	minutes     map[plural.Form]string
	language    language.Tag
	decimalMark string
	sms, call   map[Kind]template
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
	return c, nil
}

// SMS writes the text of an SMS. An amount has the locale's decimal mark and the
// euro sign, "€48.50" or "48,50 €"; a call says the word, "48.50 euros".
func (c *Catalog) SMS(in Input) string {
	_, w := c.wording(in.Locale)
	return w.sms[in.kind()].text(w.values(in))
}

// Call writes the script of a call.
func (c *Catalog) Call(in Input) Script {
	locale := in.Locale
	if c.accepted[locale].englishCall {
		locale = paymentFallback
	}
	locale, w := c.wording(locale)
	return Script{Locale: locale, Parts: w.call[in.kind()].parts(w.values(in))}
}

// wording finds the words for a locale, and the locale whose words they are.
func (c *Catalog) wording(locale string) (string, *wording) {
	if w, ok := c.wordings[locale]; ok {
		return locale, w
	}
	return fallback, c.wordings[fallback]
}

// values answers what each variable stands for in a message.
func (w *wording) values(in Input) func(variable) string {
	return func(v variable) string {
		switch v {
		case varBrand:
			return in.Brand
		case varPIN:
			return in.PIN.Reveal()
		case varExpiry:
			return strconv.Itoa(in.minutes())
		case varMinutes:
			return w.minutes[w.form(in.minutes())]
		case varPayee:
			return in.Payment.Payee
		case varAmount:
			return strings.Replace(in.Payment.Amount, ".", w.decimalMark, 1)
		}
		panic("message: no value for variable " + string(v)) // parseTemplate refuses unknown ones
	}
}

// form is the plural form that the language uses for n things.
func (w *wording) form(n int) plural.Form {
	return plural.Cardinal.MatchPlural(w.language, n, 0, 0, 0, 0)
}

// wordingFile is a file under locales/.
type wordingFile struct {
	// SameAs names the locale whose words serve this one too; nothing else is
	// set then.
	SameAs string `json:"same_as"`

	// Minutes has the word for "minutes" in each plural form that the language
	// has for the numbers 1 to 60; the names are those of the Unicode CLDR.
	Minutes     map[string]string `json:"minutes"`
	DecimalMark string            `json:"decimal_mark"` // in amounts

	Verification, Payment struct{ SMS, Call string }
}

func loadWordings() (map[string]*wording, error) {
	entries, err := data.ReadDir("locales")
	if err != nil {
		return nil, err
	}
	wordings := map[string]*wording{}
	aliases := map[string]string{}
	for _, e := range entries {
		locale := strings.TrimSuffix(e.Name(), ".json")
		f, err := readWordingFile(path.Join("locales", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("locale %s: %w", locale, err)
		}
		if f.SameAs != "" {
			aliases[locale] = f.SameAs
			continue
		}
		if wordings[locale], err = f.wording(locale); err != nil {
			return nil, fmt.Errorf("locale %s: %w", locale, err)
		}
	}
	resolved := make(map[string]*wording, len(aliases))
	for locale, other := range aliases {
		if wordings[other] == nil {
			return nil, fmt.Errorf("locale %s: same_as names %q, which has no words of its own", locale, other)
		}
		resolved[locale] = wordings[other]
	}
	for locale, w := range resolved {
		wordings[locale] = w
	}
	if wordings[fallback] == nil || wordings[paymentFallback] == nil {
		return nil, fmt.Errorf("locales %s and %s must have words", fallback, paymentFallback)
	}
	return wordings, nil
}

func readWordingFile(name string) (wordingFile, error) {
	var f wordingFile
	b, err := data.ReadFile(name)
	if err != nil {
		return f, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return f, dec.Decode(&f)
}

// wording checks and compiles the file of a locale.
func (f wordingFile) wording(locale string) (*wording, error) {
	tag, err := language.Parse(locale)
	if err != nil {
		return nil, err
	}
	w := &wording{
		minutes:     map[plural.Form]string{},
		language:    tag,
		decimalMark: f.DecimalMark,
		sms:         map[Kind]template{},
		call:        map[Kind]template{},
	}
	for form, name := range []string{
		plural.Other: "other", plural.Zero: "zero", plural.One: "one",
		plural.Two: "two", plural.Few: "few", plural.Many: "many",
	} {
		if word, ok := f.Minutes[name]; ok {
			w.minutes[plural.Form(form)] = word
		}
	}
	for n := 1; n <= longestMinutes; n++ {
		if w.minutes[w.form(n)] == "" {
			return nil, fmt.Errorf("no word for %d minutes", n)
		}
	}

	verification := map[variable]bool{varPIN: true, varExpiry: true, varMinutes: true, varBrand: true}
	payment := map[variable]bool{varPIN: true, varExpiry: true, varMinutes: true, varPayee: true, varAmount: true}
	for _, t := range []struct {
		name  string
		text  string
		known map[variable]bool
		check func(template) error
		into  map[Kind]template
		kind  Kind
	}{
		{"verification SMS", f.Verification.SMS, verification, template.checkSMS, w.sms, Verification},
		{"verification call", f.Verification.Call, verification, template.checkCall, w.call, Verification},
		{"payment SMS", f.Payment.SMS, payment, template.checkSMS, w.sms, Payment},
		{"payment call", f.Payment.Call, payment, template.checkCall, w.call, Payment},
	} {
		parsed, err := parseTemplate(t.text, t.known)
		if err == nil {
			err = t.check(parsed)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		t.into[t.kind] = parsed
	}
	return w, nil
}
