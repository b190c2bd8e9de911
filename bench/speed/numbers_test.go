package main

import (
	"testing"

	"countersign/internal/phone"
)

// TestNumbers checks that the numbers are distinct and valid, and give the fraud rules no reason
// to refuse them.
func TestNumbers(t *testing.T) {
	t.Parallel()
	n := newNumbers()
	countries := map[string]int{}
	prefixes, hundreds := map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for i := range 200_000 {
		digits := string(n.append(nil, i))
		if seen[digits] {
			t.Fatalf("%s occurs twice", digits)
		}
		seen[digits] = true
		prefixes[digits[:prefixDigits]]++
		hundreds[digits[:len(digits)-2]]++
		if i%9973 > 60 {
			continue // parsing all would take long
		}
		parsed, err := phone.Parse(digits, "")
		if err != nil || parsed.Digits != digits || parsed.Premium || parsed.Type == phone.Landline {
			t.Errorf("%s is parsed as %+v, %v", digits, parsed, err)
		}
		countries[parsed.Country]++
	}
	if n.count() < 1_000_000 {
		t.Errorf("only %d numbers", n.count())
	}
	if len(countries) < 10 {
		t.Errorf("only %d countries: %v", len(countries), countries)
	}
	for prefix, count := range prefixes {
		if count > perPrefix {
			t.Errorf("%d numbers have the prefix %s", count, prefix)
		}
	}
	for hundred, count := range hundreds {
		if count > 1 {
			t.Errorf("%d numbers are in the hundred %s", count, hundred)
		}
	}
}
