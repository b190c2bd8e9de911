package phone

import (
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// form is a dropped form of the national numbers of a plan.
type form struct {
	code   int    // calling code
	prefix string // prefix in the dropped form
	rest   int    // number of digits after the prefix
	today  string // current prefix
}

// dropped lists forms that plans have dropped but people still write. A row applies only if
// the number as written is not assigned and the result is, so it changes no current number.
// docs/reference/v1-api.md has the list with examples.
//
// In plans without a row and without a trunk prefix, [current] also drops a leading 0.
func dropped() []form {
	return []form{
		// Mexico until August 2019: 1 before mobiles from abroad; nationally 01 before all
		// numbers, 044 and 045 before mobiles.
		{52, "1", 10, ""}, {52, "01", 10, ""}, {52, "044", 10, ""}, {52, "045", 10, ""},
		// Argentina writes mobiles with 9 from abroad, and nationally with 0 before and 15
		// after the area code. People mix both. The library handles a 15 after the area
		// code; 15 before the area code was never dialled, but is common.
		{54, "90", 12, ""}, {54, "9", 12, ""}, {54, "90", 10, "9"},
		{54, "15", 10, "9"}, {54, "015", 10, "9"}, {54, "915", 10, "9"},
		// Colombia: the library parses 03 as the code of a carrier.
		{57, "0", 10, ""},
		// 8, the trunk prefix of the Soviet plan, in plans that now have 0 or none.
		{371, "8", 8, ""}, {371, "0", 8, ""}, // Latvia
		{372, "8", 7, ""}, {372, "8", 8, ""}, {372, "0", 7, ""}, {372, "0", 8, ""}, // Estonia
		{373, "8", 8, ""},                     // Moldova
		{374, "8", 8, ""},                     // Armenia
		{380, "8", 9, ""}, {380, "80", 9, ""}, // Ukraine
		{992, "8", 9, ""}, {992, "0", 9, ""}, // Tajikistan
		{994, "8", 9, ""}, {994, "80", 9, ""}, // Azerbaijan
		{995, "8", 9, ""}, {995, "80", 9, ""}, // Georgia
		{996, "8", 9, ""},                    // Kyrgyzstan
		{998, "8", 9, ""}, {998, "0", 9, ""}, // Uzbekistan
		// Vietnam in September 2018: mobiles of ten digits became nine (Decision
		// 798/QD-BTTTT).
		{84, "120", 7, "70"}, {84, "121", 7, "79"}, {84, "122", 7, "77"}, {84, "126", 7, "76"}, {84, "128", 7, "78"},
		{84, "123", 7, "83"}, {84, "124", 7, "84"}, {84, "125", 7, "85"}, {84, "127", 7, "81"}, {84, "129", 7, "82"},
		{84, "162", 7, "32"}, {84, "163", 7, "33"}, {84, "164", 7, "34"}, {84, "165", 7, "35"},
		{84, "166", 7, "36"}, {84, "167", 7, "37"}, {84, "168", 7, "38"}, {84, "169", 7, "39"},
		{84, "186", 7, "56"}, {84, "188", 7, "58"}, {84, "199", 7, "59"},
	}
}

// current returns the current form of a number in a dropped form. ok is false if n is in no
// dropped form, or if the current form is not assigned.
func current(n *phonenumbers.PhoneNumber) (today *phonenumbers.PhoneNumber, ok bool) {
	code := int(n.GetCountryCode())
	national := phonenumbers.GetNationalSignificantNumber(n)
	accept := func(national string) bool {
		var err error
		today, err = phonenumbers.Parse("+"+strconv.Itoa(code)+national, "")
		ok = err == nil && int(today.GetCountryCode()) == code && possible(today) == nil && assigned(today)
		return ok
	}
	known := false
	for _, f := range dropped() {
		if f.code != code {
			continue
		}
		known = true
		if rest, has := strings.CutPrefix(national, f.prefix); has && len(rest) == f.rest && accept(f.today+rest) {
			return today, true
		}
	}
	// The Czech Republic, Poland, Portugal, Chile and Italy (mobiles) had a trunk
	// prefix 0. In other plans without one, people add it out of habit.
	rest, zero := strings.CutPrefix(national, "0")
	geographic := phonenumbers.GetRegionCodeForCountryCode(code) != phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
	if zero && !known && geographic && trunkPrefix(n) == "" && accept(rest) && phonenumbers.GetNationalSignificantNumber(today) == rest {
		return today, true
	}
	return nil, false
}

// trunkPrefix returns the digits before a national number within the country; "" if the
// plan does not use them.
func trunkPrefix(n *phonenumbers.PhoneNumber) string {
	region := phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
	return phonenumbers.GetNddPrefixForRegion(region, true)
}

// incomplete reports whether n, which is not assigned, lacks digits: its length is
// possible, but numbers of its plan do not begin like this.
func incomplete(n *phonenumbers.PhoneNumber) bool {
	national := phonenumbers.GetNationalSignificantNumber(n)
	switch n.GetCountryCode() {
	case 55:
		// Brazil added a ninth digit to mobiles, which began with 6 to 9, area by area
		// until November 2016 (Anatel, Resolution 553/2010).
		switch len(national) {
		case 8, 9: // without area code
			return national[0] >= '6'
		case 10:
			return national[2] >= '6'
		}
	case 54:
		return strings.HasPrefix(national, "15") // Argentina: a mobile without area code
	}
	// The library keeps a trunk prefix if the number is too short without it. No number
	// begins with a trunk prefix of 0 or 1; 8, the trunk prefix of Russia, is part of
	// its toll-free numbers.
	trunk := trunkPrefix(n)
	return (trunk == "0" || trunk == "1") && strings.HasPrefix(national, trunk)
}

// fictional recognizes the ranges that regulators reserve for drama; tests and
// demonstrations use them as well. They count as ordinary numbers of their country,
// although no plan assigns them.
//
// Ofcom, "Telephone numbers for use in TV and radio drama programmes": 07700 900000 to
// 900999 are mobiles. NANPA, "555 Line Numbers": 555-0100 to 555-0199 in every area
// code; their country is US in any area code.
func fictional(e164 string) (Number, bool) {
	switch {
	case len(e164) == 12 && strings.HasPrefix(e164, "447700900"):
		return Number{Digits: e164, Country: "GB", Type: Mobile}, true
	case len(e164) == 11 && e164[0] == '1' && e164[1] >= '2' && e164[4:9] == "55501":
		return Number{Digits: e164, Country: "US", Type: Unknown}, true
	}
	return Number{}, false
}
