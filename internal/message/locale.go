package message

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// acceptance says where a locale may be asked for.
type acceptance struct {
	kinds       map[Kind]bool
	englishCall bool // its text is for reading only, as the original has it
}

// country names the locale spoken to a country's numbers.
type country struct {
	locale        string
	paymentLocale string // "" where it is locale, or the default for payments
}

// LocaleName returns lg in the form in which locales are named: in small letters, with
// "-" between language and country. Requests and templates also write en_US.
func LocaleName(lg string) string { return strings.ReplaceAll(strings.ToLower(lg), "_", "-") }

// Locale chooses the locale of a verification: the one that the application
// asked for as lg, in any form that [LocaleName] reads, or else the one of the number's country
// (ISO 3166-1 alpha-2; "" if there is none), or else English. It reports false
// for an lg that is not accepted for this kind.
func (c *Catalog) Locale(kind Kind, lg, countryCode string) (locale string, ok bool) {
	if lg != "" {
		lg = LocaleName(lg)
		return lg, c.accepted[lg].kinds[kind]
	}
	home := c.countries[strings.ToUpper(countryCode)]
	locale = home.locale
	if kind == Payment && home.paymentLocale != "" {
		locale = home.paymentLocale
	}
	if c.accepted[locale].kinds[kind] {
		return locale, true
	}
	if kind == Payment {
		return paymentFallback, true
	}
	return fallback, true
}

// Locales lists the locales accepted for a kind, in order of their names.
func (c *Catalog) Locales(kind Kind) []string {
	var list []string
	for _, locale := range slices.Sorted(maps.Keys(c.accepted)) {
		if c.accepted[locale].kinds[kind] {
			list = append(list, locale)
		}
	}
	return list
}

// Countries lists the countries whose locale is known, in order of their codes:
// all of ISO 3166-1 and the few others that have numbers.
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
		if !accepted[home.locale].kinds[Verification] {
			return fmt.Errorf("%s is not accepted for verifications", home.locale)
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

// readTable reads an embedded table: a key and its columns on each line, "#"
// before a remark.
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
			return fmt.Errorf("%s:%d: %s is there twice", name, n, fields[0])
		}
		seen[fields[0]] = true
		if err := row(fields[0], fields[1:]); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return lines.Err()
}
