package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// storable spells out the bytes that PostgreSQL takes in no text: what a carrier
// sends as its id, or as its error, is not always UTF-8, and is not refused for it.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			if kept := storableText(text); kept != text {
				args[i] = kept
			}
		}
	}
	return args
}

// storableText returns text as valid UTF-8 without zero bytes. Other bytes are spelled out,
// such as \xff.
func storableText(text string) string {
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
