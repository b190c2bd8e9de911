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

// numbers puts amounts as a language has them, by the tables of the Unicode CLDR.
// Their digits are always those of the Latin script: that is what people type and
// what a phone's keypad shows, in Arabic, Hindi and Thai as well.
type numbers struct {
	language    language.Tag
	printer     *printing.Printer
	decimalMark string
	groupFrom   int // digits before the decimal mark from which on they are grouped
}

func newNumbers(tag language.Tag, minimumGroupingDigits int) numbers {
	const group = 3 // digits of the last group, everywhere
	n := numbers{language: tag, printer: printing.NewPrinter(tag), groupFrom: group + max(1, minimumGroupingDigits)}
	n.decimalMark = strings.Trim(n.printer.Sprint(number.Decimal(0.5)), "05")
	return n
}

// written is an amount for the eye: "1.248,50". What separates groups may be a
// space; it is an ordinary one, since the GSM alphabet has no other, and a single
// U+00A0 makes an SMS of 160 characters one of 70.
func (n numbers) written(amount string) string {
	whole, cents := split(amount)
	v, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && len(whole) >= n.groupFrom {
		whole = strings.ReplaceAll(n.printer.Sprint(number.Decimal(v)), "\u00a0", " ")
	}
	return n.join(whole, cents)
}

// money is the words of an amount in a language, for calls.
type money struct {
	euros map[plural.Form]string // "euro", "euros"
	cents map[plural.Form]string // "cent", "cents"; empty where the decimal mark is spoken
	and   string                 // word between euros and cents; "" for none
}

// spoken returns an amount in two parts: a number without groups, which few voices
// read right, and the words after it. "48.50" is "48" and "euros and 50 cents", or
// "48.50" and "euros" in a language without a word for cents; "0.50" is "50" and
// "cents"; "48.00" is "48" and "euros".
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

// pick returns the word of a form; a form without a word has that of "other".
func pick(words map[plural.Form]string, form plural.Form) string {
	return cmp.Or(words[form], words[plural.Other])
}

// form returns the plural form of an amount.
func (n numbers) form(amount string) plural.Form {
	const enough = 1_000_000 // no rule looks at more digits
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
