package driver

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text returns text as valid UTF-8 without zero bytes. Other bytes are spelled out,
// such as \xff.
func Text(text string) string {
	if utf8.ValidString(text) && !strings.ContainsRune(text, 0) {
		return text
	}
	return spellOut(text)
}

func spellOut(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == 0 || r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, text[0])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}
