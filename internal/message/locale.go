package message

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"countersign/internal/suggest"
)

// acceptance records the requests that accept a locale as lg.
type acceptance struct {
	kinds       map[Kind]bool
	englishCall bool // calls of payments are in English, as in the original API
}

// country has the locales for a country's numbers.
type country struct {
	locale        string
	paymentLocale string // "" for locale, or the default for payments
}

// LocaleName returns the canonical form of lg: lower case, with "-" between language and
// country. Requests and templates may also contain en_US.
func LocaleName(lg string) string { return strings.ReplaceAll(strings.ToLower(lg), "_", "-") }

var localeForm = regexp.MustCompile(`^[a-z]{2,3}-[a-z]{2,4}$`)

// IsLocaleName reports whether s has the form of a locale's name, such as "en-gb" and
// "fil-ph". The locale may be unknown.
func IsLocaleName(s string) bool { return localeForm.MatchString(s) }

// LocaleHint returns "; did you mean de-de?" for an unknown lg: the locale with the nearest
// spelling, otherwise all locales of the language. It returns "" if there is no suggestion.
func LocaleHint(lg string, known []string) string {
	lg = LocaleName(lg)
	if hint := suggest.Hint(lg, known); hint != "" {
		return hint
	}
	var near []string
	language, _, _ := strings.Cut(lg, "-")
	for _, locale := range known {
		if strings.HasPrefix(locale, language+"-") {
			near = append(near, locale)
		}
	}
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}

// Destination has the properties of a number that decide its language.
type Destination struct {
	Country string // ISO 3166-1 alpha-2 in any letter case, or ""
	Number  string // E.164 without "+"; "" if unknown
}

// Locale selects the locale of a verification: lg, in any form that [LocaleName] accepts.
// For an empty lg it is the locale of the destination, otherwise English. ok is false for
// an lg that the v1 API does not accept for this kind. The v1 API may not accept the locale
// of a destination as lg.
func (c *Catalog) Locale(kind Kind, lg string, to Destination) (locale string, ok bool) {
	if lg != "" {
		lg = LocaleName(lg)
		return lg, c.accepted[lg].kinds[kind]
	}
	home := c.home(to)
	if kind == Payment {
		for _, locale := range []string{home.paymentLocale, home.locale} {
			if c.accepted[locale].kinds[Payment] {
				return locale, true
			}
		}
		return paymentFallback, true
	}
	return cmp.Or(home.locale, fallback), true
}

// home returns the locales of a destination: first the operator's choice for its country,
// then the longest matching prefix, then its country.
func (c *Catalog) home(to Destination) country {
	code := strings.ToUpper(to.Country)
	if locale, ok := c.chosen[code]; ok {
		home := country{locale: locale, paymentLocale: locale}
		if !c.accepted[locale].kinds[Payment] {
			usual := c.countries[code]
			home.paymentLocale = cmp.Or(usual.paymentLocale, usual.locale)
		}
		return home
	}
	for n := len(to.Number); n > 0; n-- {
		if home, ok := c.prefixes[to.Number[:n]]; ok {
			return home
		}
	}
	return c.countries[code]
}

// WithLocaleOfCountry returns a catalog with the given locales for the numbers of countries
// (ISO 3166-1 alpha-2). An error contains the unknown country or locale.
func (c *Catalog) WithLocaleOfCountry(chosen map[string]string) (*Catalog, error) {
	other := *c
	other.chosen = make(map[string]string, len(chosen))
	for _, code := range slices.Sorted(maps.Keys(chosen)) {
		if _, ok := c.countries[code]; !ok {
			return nil, fmt.Errorf("%q is not a country code of ISO 3166-1, such as BE", code)
		}
		locale := LocaleName(chosen[code])
		if !c.Has(locale) {
			return nil, fmt.Errorf("%s: %q is not a locale%s", code, chosen[code], LocaleHint(locale, c.All()))
		}
		other.chosen[code] = locale
	}
	return &other, nil
}

// Has reports whether the catalog has texts of a locale.
func (c *Catalog) Has(locale string) bool { return c.wordings[locale] != nil }

// All returns all locales with texts, sorted.
func (c *Catalog) All() []string { return slices.Sorted(maps.Keys(c.wordings)) }

// Locales returns the locales that the v1 API accepts as lg for a kind, sorted.
func (c *Catalog) Locales(kind Kind) []string {
	var list []string
	for _, locale := range slices.Sorted(maps.Keys(c.accepted)) {
		if c.accepted[locale].kinds[kind] {
			list = append(list, locale)
		}
	}
	return list
}

// Countries returns the codes of countries with a locale, sorted: all of ISO 3166-1 and the
// few others with numbers.
func (c *Catalog) Countries() []string { return slices.Sorted(maps.Keys(c.countries)) }

func loadAccepted() (map[string]acceptance, error) {
	accepted := map[string]acceptance{}
	err := readTable("accepted.txt", func(locale string, columns []string) error {
		a := acceptance{kinds: map[Kind]bool{}}
		for _, column := range columns {
			switch column {
			case "verification":
				a.kinds[Verification] = true
			case "payment":
				a.kinds[Payment] = true
			case "english-call":
				a.englishCall = true
			default:
				return fmt.Errorf("unknown word %q", column)
			}
		}
		accepted[locale] = a
		return nil
	})
	return accepted, err
}

func loadCountries(accepted map[string]acceptance) (map[string]country, error) {
	countries := map[string]country{}
	err := readTable("countries.txt", func(code string, columns []string) error {
		if len(columns) == 0 || len(columns) > 2 {
			return fmt.Errorf("%d locales, want 1 or 2", len(columns))
		}
		home := country{locale: columns[0]}
		if _, ok := accepted[home.locale]; !ok {
			return fmt.Errorf("%s is not a locale", home.locale)
		}
		if len(columns) == 2 {
			home.paymentLocale = columns[1]
			if !accepted[home.paymentLocale].kinds[Payment] {
				return fmt.Errorf("%s is not accepted for payments", home.paymentLocale)
			}
		}
		countries[code] = home
		return nil
	})
	return countries, err
}

func loadPrefixes(accepted map[string]acceptance) (map[string]country, error) {
	prefixes := map[string]country{}
	err := readTable("prefixes.txt", func(prefix string, columns []string) error {
		if len(columns) != 1 {
			return fmt.Errorf("%d locales, want 1", len(columns))
		}
		if _, ok := accepted[columns[0]]; !ok {
			return fmt.Errorf("%s is not a locale", columns[0])
		}
		prefixes[prefix] = country{locale: columns[0]}
		return nil
	})
	return prefixes, err
}

// readTable reads an embedded table: a key and its columns on each line; "#" begins a
// comment.
func readTable(name string, row func(key string, columns []string) error) error {
	b, err := data.ReadFile(name)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if seen[fields[0]] {
			return fmt.Errorf("%s:%d: duplicate key %s", name, n, fields[0])
		}
		seen[fields[0]] = true
		if err := row(fields[0], fields[1:]); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return lines.Err()
}
