package verify

import "strings"

// ParseAmount reads the amount of a [Payment], in euros with at most two decimals,
// and gives both of them: "48", "48.5" and "48.50" are the same payment, and must
// look the same to the payer. It reports false for what is no amount.
func ParseAmount(text string) (amount string, ok bool) {
	const maxWhole = 12 // digits; more is no payment
	whole, cents, point := strings.Cut(text, ".")
	if whole == "" || point && cents == "" || len(cents) > 2 || !onlyDigits(whole+cents) {
		return "", false
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if len(whole) > maxWhole {
		return "", false
	}
	return whole + "." + cents + "00"[len(cents):], true
}

func onlyDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
