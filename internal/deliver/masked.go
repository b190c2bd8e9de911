package deliver

import (
	"strings"
	"unicode"
)

// Masked returns text of a carrier for logs and notes: at most limit octets, with "…"
// for each run of three or more digits, which may be part of a phone number, and a
// space for each character that is not printable.
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
