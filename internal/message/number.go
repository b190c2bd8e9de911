package message

import (
	"cmp"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	printing "golang.org/x/text/message"
	"golang.org/x/text/number"
)

// numbers formats amounts for a language, by the tables of the Unicode CLDR. Digits are
// always Latin, as on the keypads of phones, also in Arabic, Hindi and Thai.
type numbers struct {
	language    language.Tag
	printer     *printing.Printer
	decimalMark string
	groupFrom   int // minimum number of digits before the decimal mark for grouping
}

func newNumbers(tag language.Tag, minimumGroupingDigits int) numbers {
	const group = 3 // digits of the last group in every language
	n := numbers{language: tag, printer: printing.NewPrinter(tag), groupFrom: group + max(1, minimumGroupingDigits)}
	n.decimalMark = strings.Trim(n.printer.Sprint(number.Decimal(0.5)), "05")
	return n
}

// written formats an amount for reading: "1.248,50". A space between groups is U+0020: the
// GSM alphabet has no other space, and a single U+00A0 would reduce an SMS from 160 to 70
// characters.
func (n numbers) written(amount string) string {
	whole, cents := split(amount)
	v, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && len(whole) >= n.groupFrom {
		whole = strings.ReplaceAll(n.printer.Sprint(number.Decimal(v)), "\u00a0", " ")
	}
	return n.join(whole, cents)
}

// money has the words of an amount in a language, for calls.
type money struct {
	euros map[plural.Form]string // "cent", "cents"; empty if the decimal mark is spoken
	cents map[plural.Form]string // "cent", "cents"; empty where the decimal mark is spoken
	and   string                 // word between euros and cents, or ""
}

// spoken returns an amount in two parts: a number without groups, since few voices read
// groups right, and the words after it. "48.50" is "48" and "euros and 50 cents", or
// "48.50" and "euros" in a language without a word for cents; "0.50" is "50" and "cents";
// "48.00" is "48" and "euros".
func (m money) spoken(n numbers, amount string) (number, words string) {
	whole, cents := split(amount)
	if strings.Trim(cents, "0") == "" {
		return whole, pick(m.euros, n.form(whole))
	}
	if len(m.cents) == 0 {
		return n.join(whole, cents), pick(m.euros, n.form(amount))
	}
	cents = strings.TrimPrefix((cents + "0")[:2], "0")
	word := pick(m.cents, n.form(cents))
	if strings.Trim(whole, "0") == "" {
		return cents, word
	}
	words = pick(m.euros, n.form(whole))
	if m.and != "" {
		words += " " + m.and
	}
	return whole, words + " " + cents + " " + word
}

// pick returns the word of a form; without one, the word of "other".
func pick(words map[plural.Form]string, form plural.Form) string {
	return cmp.Or(words[form], words[plural.Other])
}

// form returns the plural form of an amount.
func (n numbers) form(amount string) plural.Form {
	const enough = 1_000_000 // no plural rule depends on more digits
	whole, cents := split(amount)
	i, _ := strconv.Atoi(whole)
	if i > enough {
		i = i%enough + enough
	}
	trimmed := strings.TrimRight(cents, "0")
	f, _ := strconv.Atoi(cents)
	t, _ := strconv.Atoi(trimmed)
	return plural.Cardinal.MatchPlural(n.language, i, len(cents), len(trimmed), f, t)
}

func split(amount string) (whole, cents string) {
	whole, cents, _ = strings.Cut(amount, ".")
	return whole, cents
}

func (n numbers) join(whole, cents string) string {
	if cents == "" {
		return whole
	}
	return whole + n.decimalMark + cents
}
