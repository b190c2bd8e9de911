package message

import (
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

// spoken is an amount for a voice: without groups, which few of them read right,
// and without cents where there are none.
func (n numbers) spoken(amount string) string {
	whole, cents := split(amount)
	return n.join(whole, strings.TrimPrefix(cents, "00"))
}

// form is the plural form of an amount that is spoken.
func (n numbers) form(amount string) plural.Form {
	const enough = 1_000_000 // no rule looks at more digits
	whole, cents := split(amount)
	cents = strings.TrimPrefix(cents, "00")
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
