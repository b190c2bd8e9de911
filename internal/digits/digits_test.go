package digits_test

import (
	"testing"
	"unicode"

	"countersign/internal/digits"
)

func TestValue(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		"0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯", "๐๑๒๓๔๕๖๗๘๙",
		"၀၁၂၃၄၅၆၇၈၉", "០១២៣៤៥៦៧៨៩", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗", "𝟶𝟷𝟸𝟹𝟺𝟻𝟼𝟽𝟾𝟿", "🯰🯱🯲🯳🯴🯵🯶🯷🯸🯹",
	} {
		want := byte(0)
		for _, r := range script {
			if got, ok := digits.Value(r); !ok || got != want {
				t.Errorf("Value(%q) = %d, %v; want %d", r, got, ok, want)
			}
			want++
		}
	}
	for _, r := range "aZ +-²₂①Ⅳ五〇½" {
		if got, ok := digits.Value(r); ok {
			t.Errorf("Value(%q) = %d", r, got)
		}
	}
}

// Value requires that every range of the table consists of complete sets of ten digits.
func TestRangesHoldWholeScripts(t *testing.T) {
	t.Parallel()
	for _, r := range unicode.Nd.R16 {
		if r.Stride != 1 || (r.Hi-r.Lo+1)%10 != 0 {
			t.Errorf("range %U to %U", r.Lo, r.Hi)
		}
	}
	for _, r := range unicode.Nd.R32 {
		if r.Stride != 1 || (r.Hi-r.Lo+1)%10 != 0 {
			t.Errorf("range %U to %U", r.Lo, r.Hi)
		}
	}
}

func TestFiller(t *testing.T) {
	t.Parallel()
	for _, r := range " -\t\n\r\v\f\u0085\u00a0\u00ad\u034f\u061c\u2007\u2009\u200b\u200c\u200d\u200e\u200f\u2010\u2011\u2012\u2013\u2014\u2015" +
		"\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2066\u2067\u2068\u2069\u2212\u3000\u301c\u3164\ufe0f\ufe58\ufe63\uff0d\ufeff" {
		if !digits.Filler(r) {
			t.Errorf("%U is no filler", r)
		}
	}
	for _, r := range "0٣a+.,/()[];#*_\x00\x1b\x7féπ\ufffd" {
		if digits.Filler(r) {
			t.Errorf("%U is a filler", r)
		}
	}
}
