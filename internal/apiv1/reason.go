package apiv1

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits for the parts of an error text that repeat the request, in characters.
const (
	maxQuoted = 40
	maxReason = 200
)

// invalidText returns the published text for an invalid parameter, followed by the reason
// in parentheses. Clients match the published text, so it remains an exact prefix.
func invalidText(param, reason string) string {
	text := "Invalid value for param: " + param
	if reason == "" {
		return text
	}
	return text + " (" + shortened(reason, maxReason) + ")"
}

// quoted returns a value of a request for a reason: at most 40 visible characters.
// Secrets, codes and phone numbers must not be quoted.
func quoted(value string) string { return shortened(value, maxQuoted) }

// shortened returns text in at most limit characters. An invisible character becomes its
// code point, such as U+200B, and invalid UTF-8 becomes U+FFFD.
func shortened(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if isShown(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "U+%04X", r)
		}
		if b.Len() > limit*utf8.UTFMax {
			break // over the limit
		}
	}
	runes := []rune(b.String())
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}
