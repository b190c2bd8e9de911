package apiv1

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds on the parts of an error text that come from the request, in characters.
const (
	maxQuoted = 40
	maxReason = 200
)

// invalidText is the published text for a parameter that cannot be used, followed by the
// reason in parentheses. Clients match the published text, so it stays an exact prefix.
func invalidText(param, reason string) string {
	text := "Invalid value for param: " + param
	if reason == "" {
		return text
	}
	return text + " (" + shortened(reason, maxReason) + ")"
}

// quoted returns a value of a request as a reason may repeat it: at most 40 characters,
// all of them visible. No secret, code or number may be repeated.
func quoted(value string) string { return shortened(value, maxQuoted) }

// shortened returns text in at most limit characters. An invisible character becomes its
// code point, such as U+200B, and broken UTF-8 becomes U+FFFD.
func shortened(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if isShown(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "U+%04X", r)
		}
		if b.Len() > limit*utf8.UTFMax {
			break // more than the limit
		}
	}
	runes := []rune(b.String())
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}
