package gsm

import (
	"unicode/utf16"
	"unicode/utf8"
)

const (
	escape = 0x1B // precedes a septet of the extension or single shift table

	maxLatin1 = 0xFF
)

// coder encodes and decodes one coding.
type coder struct {
	alphabet  Alphabet
	main, ext table
}

// table maps 128 septets to characters; -1 means no character.
type table [128]rune

func (t *table) fill(characters string) {
	i := 0
	for _, r := range characters {
		if r == none {
			r = -1
		}
		t[i] = r
		i++
	}
}

// find returns the septet of a character, or -1. It first tries the ASCII code, which is
// right for most characters.
func (t *table) find(r rune) int {
	if r >= 0 && int(r) < len(t) && t[r] == r {
		return int(r)
	}
	for i, c := range t {
		if c == r {
			return i
		}
	}
	return -1
}

// use prepares c for a coding. A language without a table selects the default table, as
// in a phone that does not support the language (23.038 §6.2.1.2.4).
func (c *coder) use(coding Coding) {
	c.alphabet = coding.Alphabet
	if c.alphabet != GSM7 {
		return
	}
	main, ok := coding.Locking.locking()
	if !ok {
		main = mainDefault
	}
	ext, ok := coding.Single.single()
	if !ok {
		ext = extDefault
	}
	c.main.fill(main)
	c.ext.fill(ext)
}

// width returns the number of units of a character; 0 if it is not encodable.
func (c *coder) width(r rune) int {
	switch c.alphabet {
	case Latin1:
		if r > maxLatin1 {
			return 0
		}
		return 1
	case UCS2:
		return utf16.RuneLen(r)
	}
	switch {
	case c.main.find(r) >= 0:
		return 1
	case c.ext.find(r) >= 0:
		return 2
	}
	return 0
}

// append appends an encodable character to dst.
func (c *coder) append(dst []byte, r rune) []byte {
	switch c.alphabet {
	case Latin1:
		return append(dst, byte(r))
	case UCS2:
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			return append(dst, byte(r1>>8), byte(r1), byte(r2>>8), byte(r2))
		}
		return append(dst, byte(r>>8), byte(r))
	}
	if s := c.main.find(r); s >= 0 {
		return append(dst, byte(s))
	}
	return append(dst, escape, byte(c.ext.find(r)))
}

// Decode decodes a payload; for GSM7 it has one septet in each octet. Invalid codes
// become U+FFFD. After an escape it follows 23.038 §6.2.1.1: a code without an extension
// character becomes the character of the main table, and an escape to a further table
// becomes a space.
func Decode(coding Coding, payload []byte) string {
	var c coder
	c.use(coding)
	text := make([]byte, 0, 2*len(payload))
	switch c.alphabet {
	case Latin1:
		for _, b := range payload {
			text = utf8.AppendRune(text, rune(b))
		}
	case UCS2:
		text = appendUTF16(text, payload)
	default:
		text = c.appendSeptets(text, payload)
	}
	return string(text)
}

func (c *coder) appendSeptets(text, payload []byte) []byte {
	for i := 0; i < len(payload); i++ {
		b := payload[i]
		r := rune(-1)
		switch {
		case b >= 0x80:
		case b != escape:
			r = c.main[b]
		case i+1 == len(payload) || payload[i+1] == escape:
			r = ' '
			i++
		case payload[i+1] < 0x80:
			i++
			if r = c.ext[payload[i]]; r < 0 {
				r = c.main[payload[i]]
			}
		}
		text = utf8.AppendRune(text, r) // -1 becomes U+FFFD
	}
	return text
}

func appendUTF16(text, payload []byte) []byte {
	unit := func(i int) rune { return rune(payload[i])<<8 | rune(payload[i+1]) }
	for i := 0; i < len(payload); i += 2 {
		if i+1 == len(payload) { // half a unit
			return utf8.AppendRune(text, utf8.RuneError)
		}
		r := unit(i)
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if i+3 < len(payload) {
				pair = utf16.DecodeRune(r, unit(i+2))
			}
			if pair != utf8.RuneError {
				i += 2
			}
			r = pair
		}
		text = utf8.AppendRune(text, r)
	}
	return text
}
