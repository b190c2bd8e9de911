package digits_test

import (
	"testing"
	"unicode"

	"countersign/internal/digits"
)

func TestFold(t *testing.T) {
	t.Parallel()
	count := 0
	for _, zero := range zerosOf(unicode.Nd) {
		count += 10
		text := string([]rune{zero, zero + 1, zero + 2, zero + 9, '-', zero + 7})
		if got := digits.Fold(text); got != "01297" {
			t.Errorf("Fold(%+q) = %q", text, got)
		}
	}
	if count < 600 {
		t.Errorf("only %d digits were tried", count)
	}
	for text, want := range map[string]string{
		"1234": "1234", " 12 34\t\r\n": "1234", "12\u20101\u20152": "1212", "a B-c\u00a0D": "aBcD", "Ａｚ０９": "Az09", "\u2066١٢٣٤\u2069": "1234",
		"12\u00ad34": "1234", "1\ufe0f234": "1234", "12_34": "12_34", "12\x0034": "12\x0034", "Ⅳ234": "Ⅳ234", "1234\u0301": "1234\u0301", "": "",
	} {
		if got := digits.Fold(text); got != want {
			t.Errorf("Fold(%+q) = %+q, want %+q", text, got, want)
		}
	}
}

// zerosOf returns the zeros in a table: Unicode encodes decimal digits in tens, so they are
// at every tenth position of a range.
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
