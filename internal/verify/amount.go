package verify

import "strings"

// ParseAmount reads the amount of a [Payment]: euros, more than 0, with at most two
// decimals. The result has both decimals: "48", "48.5" and "48.50" are the same payment,
// and must look the same to the payer. If ok is false, [AmountDefect] returns the reason.
func ParseAmount(text string) (amount string, ok bool) {
	amount, defect := parseAmount(text)
	return amount, defect == ""
}

// AmountDefect returns why text is not the amount of a [Payment]; "" if it is one.
func AmountDefect(text string) string {
	_, defect := parseAmount(text)
	return defect
}

func parseAmount(text string) (amount, defect string) {
	const maxWhole = 12 // digits; more is no payment
	whole, cents, point := strings.Cut(text, ".")
	if whole == "" || point && cents == "" || !onlyDigits(whole+cents) {
		return "", "not an amount such as 48.50"
	}
	if len(cents) > 2 {
		return "", "more than two decimals"
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" && onlyZeros(cents) {
		return "", "must be more than 0"
	}
	if whole == "" {
		whole = "0"
	}
	if len(whole) > maxWhole {
		return "", "more than 12 digits before the point"
	}
	return whole + "." + cents + "00"[len(cents):], ""
}

func onlyDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func onlyZeros(s string) bool { return strings.Trim(s, "0") == "" }
