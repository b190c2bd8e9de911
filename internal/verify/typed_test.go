package verify_test

import (
	"testing"
	"unicode"

	"countersign/internal/verify"
)

// TestParseTyped: digits of every script count as the digits that they are, and
// separators do not count.
func TestParseTyped(t *testing.T) {
	t.Parallel()
	digits := 0
	for _, zero := range zerosOf(unicode.Nd) {
		digits += 10
		text := string([]rune{zero, zero + 1, zero + 2, zero + 9, '-', zero + 7})
		if pin, ok := verify.ParseTyped(text); !ok || pin.Reveal() != "01297" {
			t.Errorf("%+q: got %q, %v", text, pin.Reveal(), ok)
		}
	}
	if digits < 600 {
		t.Errorf("%d digits were tried", digits)
	}
	for text, want := range map[string]string{
		"1234": "1234", " 12 34\t\r\n": "1234", "12\u20101\u20152": "1212", "a B-c\u00a0D": "aBcD", "Ａｚ０９": "Az09", "\u2066١٢٣٤\u2069": "1234",
		"12\u00ad34": "1234", "1\ufe0f234": "1234", "12_34": "", "12\x0034": "", "12\xff34": "", "123": "", "1-2-3": "", "": "", "12345678901": "", "1234\u0301": "", "Ⅳ234": "", "１２３": "",
	} {
		pin, ok := verify.ParseTyped(text)
		if ok != (want != "") || ok && pin.Reveal() != want {
			t.Errorf("%+q: got %q, %v, want %q", text, pin.Reveal(), ok, want)
		}
	}
}

// zerosOf returns the characters of a table that follow a multiple of ten others in
// their row: the zeros, since Unicode encodes decimal digits in tens.
func zerosOf(table *unicode.RangeTable) []rune {
	var zeros []rune
	for _, row := range table.R16 {
		for r := rune(row.Lo); r <= rune(row.Hi); r += 10 {
			zeros = append(zeros, r)
		}
	}
	for _, row := range table.R32 {
		for r := rune(row.Lo); r <= rune(row.Hi); r += 10 {
			zeros = append(zeros, r)
		}
	}
	return zeros
}
