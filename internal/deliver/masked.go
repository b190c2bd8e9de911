package deliver

import (
	"strings"
	"unicode"
)

// Masked returns text of a carrier for logs and notes, truncated to limit octets. A run
// of three or more digits may be part of a phone number and is replaced by "…". Each
// nonprintable character becomes a space.
func Masked(s string, limit int) string {
	var b strings.Builder
	digits := ""
	flush := func() {
		if len([]rune(digits)) >= 3 {
			digits = "…"
		}
		b.WriteString(digits)
		digits = ""
	}
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits += string(r)
			continue
		case !unicode.IsPrint(r):
			r = ' '
		}
		flush()
		if b.WriteRune(r); b.Len() >= limit {
			break
		}
	}
	flush()
	text := b.String()
	return strings.TrimSpace(strings.ToValidUTF8(text[:min(len(text), limit)], ""))
}
