package message

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// wordingFile is the format of the files under locales/.
type wordingFile struct {
	// SameAs is a locale with the same texts; all other fields must be empty then.
	SameAs string `json:"same_as"`

	// Language is the BCP 47 tag of the language for plurals and numbers; "" to use the
	// name of the locale.
	Language string `json:"language"`

	// Minutes has "${pin_expiry} minutes" in each plural form of the language for 1 to 60,
	// in the grammatical case of the texts. Forms have the names of the Unicode CLDR. Euros
	// and Cents have the words for calls; "other" replaces an absent form. Without Cents a
	// call contains the decimal mark: "48.50 euros" instead of "48 euros and 50 cents".
	Minutes, Euros, Cents map[string]string

	// And is the word between euros and cents, or "".
	And string

	// SpokenMinutes overrides Minutes in calls, if speech needs other words than reading:
	// Arabic with vowels, Japanese without kanji, and numbers in the gender and case of the
	// minutes, which voices get wrong. In addition to forms it may have single numbers, as
	// "=1", which precede forms. Minutes applies to the rest.
	SpokenMinutes map[string]string `json:"spoken_minutes"`

	// MinimumGroupingDigits is the minimum number of digits before the first group
	// separator of an amount, as in the CLDR: 2 means 1234 and 12.345.
	MinimumGroupingDigits int `json:"minimum_grouping_digits"`

	// Short is an SMS for use with an additional line, such as the hash of an app. It is
	// set only if the usual SMS would then exceed one segment.
	Verification struct{ SMS, Short, Call string }

	// Payment is absent from locales that psd2 does not accept.
	Payment struct{ SMS, Call string }
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
			return nil, fmt.Errorf("locale %s: same_as: %q is unknown or has same_as", locale, other)
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
	b, err := data.ReadFile(name)
	if err != nil {
		return wordingFile{}, err
	}
	return parseWordingFile(b)
}

// parseWordingFile parses the JSON of a file, with or without a byte order mark. Errors are
// of type *lineError.
func parseWordingFile(text []byte) (wordingFile, error) {
	var f wordingFile
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(&f)
	if err == nil {
		if _, end := dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("text after the end of the object")
		}
	}
	if err == nil {
		if f.SameAs != "" && !reflect.DeepEqual(f, wordingFile{SameAs: f.SameAs}) {
			return f, &lineError{lineOf(text, "same_as"), errors.New("same_as: remove it, or everything else")}
		}
		return f, nil
	}
	offset := dec.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("the file is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset, err = int64(len(text)), errors.New("the JSON object has no end")
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	default:
		if _, key, ok := strings.Cut(err.Error(), "unknown field "); ok {
			offset = int64(max(0, bytes.Index(text, []byte(key))))
		}
	}
	return f, &lineError{lineAt(text, int(offset)), err}
}

// lineError is a defect in a line of a file; the first line is 1.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("%d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func lineAt(text []byte, offset int) int {
	return 1 + bytes.Count(text[:min(max(0, offset), len(text))], []byte{'\n'})
}

// lineOf returns the line of a key in a file: of "sms" in "payment" for "payment sms". For
// an absent key it returns the line of the containing object.
func lineOf(text []byte, path string) int {
	offset := 0
	for _, key := range strings.Fields(path) {
		if i := bytes.Index(text[offset:], []byte(`"`+key+`"`)); i >= 0 {
			offset += i
		}
	}
	return lineAt(text, offset)
}

// wording validates and parses the file of a locale.
func (f wordingFile) wording(locale string) (*wording, error) {
	tag, err := language.Parse(cmp.Or(f.Language, locale))
	if err != nil {
		return nil, err
	}
	w := &wording{
		language: tag,
		numbers:  newNumbers(tag, f.MinimumGroupingDigits),
		sms:      map[Kind]template{},
		call:     map[Kind]template{},
	}
	if err := f.fillPlurals(w); err != nil {
		return nil, err
	}
	return w, f.fillTexts(w)
}

// fillPlurals sets the texts that depend on a number.
func (f wordingFile) fillPlurals(w *wording) error {
	w.minutes = newMinutes(w.language)
	var err error
	if err = w.minutes.add(f.Minutes); err != nil {
		return &textError{"minutes", "minutes", err}
	}
	w.spokenMinutes = w.minutes.clone()
	if err = w.spokenMinutes.add(f.SpokenMinutes); err != nil {
		return &textError{"spoken_minutes", "spoken minutes", err}
	}
	if !f.hasPayments() {
		return nil
	}
	w.money.and = f.And
	if w.money.euros, err = pluralWords(f.Euros); err != nil {
		return &textError{"euros", "euros", err}
	}
	if len(f.Cents) == 0 {
		return nil
	}
	if w.money.cents, err = pluralWords(f.Cents); err != nil {
		return &textError{"cents", "cents", err}
	}
	return nil
}

// textError is a defect of the text under a key of a file.
type textError struct {
	key  string // path of keys, separated by spaces
	name string // description of the text
	err  error
}

func (e *textError) Error() string { return e.name + ": " + e.err.Error() }
func (e *textError) Unwrap() error { return e.err }

// pluralWords returns words by their plural form. The form "other" is required.
func pluralWords(texts map[string]string) (map[plural.Form]string, error) {
	words := make(map[plural.Form]string, len(texts))
	for name, word := range texts {
		form, ok := pluralForm(name)
		if !ok {
			return nil, fmt.Errorf("unknown plural form %q", name)
		}
		words[form] = word
	}
	if words[plural.Other] == "" {
		return nil, errors.New(`no word for the form "other"`)
	}
	return words, nil
}

// pluralForm returns the form with a CLDR name.
func pluralForm(name string) (plural.Form, bool) {
	forms := map[string]plural.Form{
		"zero": plural.Zero, "one": plural.One, "two": plural.Two,
		"few": plural.Few, "many": plural.Many, "other": plural.Other,
	}
	form, ok := forms[name]
	return form, ok
}

// hasPayments reports whether the file has a payment text; it then needs both.
func (f wordingFile) hasPayments() bool { return f.Payment.SMS != "" || f.Payment.Call != "" }

// fillTexts parses the texts. The short SMS is optional, and so are the payment texts
// together. Errors are of type *textError.
func (f wordingFile) fillTexts(w *wording) error {
	verification := map[variable]bool{varPIN: true, varMinutes: true, varBrand: true}
	payment := map[variable]bool{varPIN: true, varMinutes: true, varPayee: true, varAmount: true}
	paymentCall := map[variable]bool{varPIN: true, varMinutes: true, varPayee: true, varAmount: true, varEuros: true}
	noPayments := !f.hasPayments()
	for _, t := range []struct {
		key    string // key in the file
		name   string
		text   string
		absent bool // no text required or given
		known  map[variable]bool
		check  func(template) error
		put    func(template)
	}{
		{"verification sms", "verification SMS", f.Verification.SMS, false, verification, template.checkSMS, func(t template) { w.sms[Verification] = t }},
		{"verification short", "short verification SMS", f.Verification.Short, f.Verification.Short == "", verification, template.checkSMS, func(t template) { w.short = t }},
		{"verification call", "verification call", f.Verification.Call, false, verification, template.checkCall, func(t template) { w.call[Verification] = t }},
		{"payment sms", "payment SMS", f.Payment.SMS, noPayments, payment, template.checkPaymentSMS, func(t template) { w.sms[Payment] = t }},
		{"payment call", "payment call", f.Payment.Call, noPayments, paymentCall, template.checkPaymentCall, func(t template) { w.call[Payment] = t }},
	} {
		if t.absent {
			continue
		}
		parsed, err := parseTemplate(t.text, t.known)
		if err == nil {
			err = t.check(parsed)
		}
		if err != nil {
			return &textError{t.key, t.name, err}
		}
		t.put(parsed)
	}
	return nil
}
