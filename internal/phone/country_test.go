package phone_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"countersign/internal/phone"
)

// With country, a number without a plus always belongs to the plan of that country.
func TestCountryIsEnforced(t *testing.T) {
	t.Parallel()
	tests := []struct{ number, country, want string }{ // want: digits, or "" for an error
		{"20222446307", "US", ""},
		{"77009888319", "GB", ""},
		{"33612345678", "GB", ""},
		{"0033612345678", "GB", ""},
		{"011447700900001", "US", ""},
		{"00612345678", "FR", ""}, // 06 12 34 56 78 with a doubled zero; +61 is Australia
		{"1155170781600", "MX", ""},

		{"447700900001", "GB", "447700900001"},
		{"07700900001", "GB", "447700900001"},
		{"7700900001", "GB", "447700900001"},
		{"+447700900001", "GB", "447700900001"},
		{"00447700900001", "GB", "447700900001"},
		{"01112025550188", "US", "12025550188"},
		{"0111447700900001", "AU", ""},
		{"001161412345678", "AU", "61412345678"},
		{"0061412345678", "AU", "61412345678"},
		{"00 852 6782 0230", "HK", "85267820230"},
		{"005511961234567", "BR", "5511961234567"},
		{"00573211234567", "CO", "573211234567"},
		{"0085512345678", "KH", "85512345678"},
		{"006581234567", "SG", "6581234567"},
		{"0012025550188", "US", "12025550188"},
		{"+33612345678", "GB", "33612345678"},
		{"1 55 17078160", "MX", "525517078160"},
		{"14165551234", "US", "14165551234"}, // Canada shares the plan
		{"77710009998", "RU", "77710009998"}, // Kazakhstan as well
	}
	for _, tt := range tests {
		got, err := phone.Parse(tt.number, tt.country)
		if got.Digits != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, phone.ErrNumber) {
			t.Errorf("Parse(%q, %q) = %q, %v; want %q", tt.number, tt.country, got.Digits, err, tt.want)
		}
	}
}

// Typing errors: each digit of numbers of every country is doubled, omitted, changed, or
// swapped with the next one, in national form, after the calling code and after 00.
func TestMistypedDigitStaysInCountry(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(17, 1))
	for country := range phonenumbers.GetSupportedRegions() {
		code := phonenumbers.GetCountryCodeForRegion(country)
		for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE} {
			example := phonenumbers.GetExampleNumberForType(country, kind)
			if example == nil || raceDetector && rnd.IntN(16) > 0 { // the race detector makes the library ten times as slow
				continue
			}
			e164 := phonenumbers.Format(example, phonenumbers.E164)[1:]
			for _, written := range []string{e164, onlyDigits(phonenumbers.Format(example, phonenumbers.NATIONAL)), "00" + e164} {
				for _, number := range mistyped(rnd, written) {
					got, err := phone.Parse(number, country)
					if err == nil && callingCode(t, got.Digits) != code {
						t.Errorf("Parse(%q, %q) = %s: of another country", number, country, got.Digits)
					}
				}
			}
		}
	}
}

// mistyped returns number with each digit doubled, omitted, changed, and swapped.
func mistyped(rnd *rand.Rand, number string) []string {
	var list []string
	for i := range number {
		before, digit, after := number[:i], number[i:i+1], number[i+1:]
		list = append(list, before+digit+digit+after, before+after, before+digits(rnd, 1)+after)
		if after != "" {
			list = append(list, before+after[:1]+digit+after[1:])
		}
	}
	return list
}

func callingCode(t *testing.T, digits string) int {
	t.Helper()
	n, err := phonenumbers.Parse("+"+digits, "")
	if err != nil {
		t.Fatalf("%s: %v", digits, err)
	}
	return int(n.GetCountryCode())
}

// For the seven ISO 3166-1 codes without a calling code only complete numbers are valid.
func TestCountryWithoutPlan(t *testing.T) {
	t.Parallel()
	for _, country := range []string{"AQ", "BV", "GS", "HM", "PN", "TF", "UM", "aq"} {
		for _, number := range []string{"+447700900001", "447700900001", "+44 (0)7700 900001"} {
			if got, err := phone.Parse(number, country); err != nil || got.Digits != "447700900001" || got.Country != "GB" {
				t.Errorf("Parse(%q, %q) = %+v, %v", number, country, got, err)
			}
		}
		// 6592345678 and 3545551234 look like US numbers; +65 and +354 would reach
		// Singapore and Iceland.
		for _, number := range []string{"07700900001", "7700900001", "2025550188", "6592345678", "3545551234", "12345", "00447700900001"} {
			if got, err := phone.Parse(number, country); !errors.Is(err, phone.ErrCountry) {
				t.Errorf("Parse(%q, %q) = %+v, %v; want %v", number, country, got, err, phone.ErrCountry)
			}
		}
		if _, err := phone.Parse("+44770090", country); !errors.Is(err, phone.ErrNumber) {
			t.Errorf("a short number with a plus: %v", err)
		}
		if code, err := phone.Country(country); err != nil || len(code) != 2 {
			t.Errorf("Country(%q) = %q, %v", country, code, err)
		}
	}
}

// A territory with the short numbers of a neighbour accepts them with the calling code.
func TestTerritoryWithShortNumbers(t *testing.T) {
	t.Parallel()
	for country, number := range map[string]string{"BV": "4740612345", "GS": "50051234", "PN": "6421123456"} {
		if got, err := phone.Parse(number, country); err != nil || got.Digits != number {
			t.Errorf("Parse(%q, %q) = %+v, %v", number, country, got, err)
		}
	}
}

// Every officially assigned ISO 3166-1 code is a country.
func TestEveryISOCode(t *testing.T) {
	t.Parallel()
	const codes = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
		"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
		"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
		"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
		"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ " +
		"TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
	n := 0
	for i := 0; i < len(codes); i += 3 {
		n++
		if _, err := phone.Parse("+447700900001", codes[i:i+2]); err != nil {
			t.Errorf("%s: %v", codes[i:i+2], err)
		}
	}
	if n != 249 {
		t.Errorf("%d codes, want 249", n)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	tests := []struct{ number, country, want string }{
		{"061234567", "FR", "too short for FR"},
		{"06123456", "FR", "too short for FR"},
		{"+33 0 61234567", "", "too short for FR"},
		{"1202555018", "US", "too short for US"},
		{"+3361234567", "", "too short for FR"},
		{"3361234567", "", "too short for FR"},
		{"06123456789", "FR", "too long for FR"},
		{"78112", "GG", "too short for GG"},
		{"+229 123456789", "", "wrong length for BJ"},
		{"5550123", "US", "too short for US"},
		{"5", "US", "too short for US"},
		{"999", "GB", "too short for GB"},
		{"+80012345", "", "too short"},
		{"6123-4567", "BR", "too short for BR"},
		{"4477009OOO01", "", "not a number"},
		{"call me", "", "not a number"},
		{"+", "", "not a number"},
		{"++447700900001", "", "not a number"},
		{"447700900001 x12", "", "not a number: extensions are not supported"},
		{"447700900001;ext=1", "", "not a number: extensions are not supported"},
		{"+9991234567", "", "unknown calling code"},
		{"9991234567", "", "unknown calling code"},
		{"+07700900001", "", "unknown calling code"},
		{"07700900001", "", "no calling code: add it, or set country"},
		{"0033612345678", "AU", "unknown international prefix: write the number with +"},
		{"447700900001,", "", "not a number"},
		{"0033612345678", "GB", "not a number of GB: write a number of another country with +"},
		{"+49 00 15112345", "", "too short for DE"},
		{"447700900001", "XX", "not an ISO 3166-1 code of two letters"},
		{"447700900001", "GBR", "not an ISO 3166-1 code of two letters"},
		{"2025550188", "UM", "UM has no numbering plan: write the number with + and calling code"},
	}
	for _, tt := range tests {
		_, err := phone.Parse(tt.number, tt.country)
		var refused *phone.Error
		if !errors.As(err, &refused) || refused.Reason != tt.want {
			t.Errorf("Parse(%q, %q): %v; want reason %q", tt.number, tt.country, err, tt.want)
		}
	}
}

// A reason never contains the number, since callers log reasons.
func FuzzReason(f *testing.F) {
	f.Add("447700900001", "US")
	f.Add("0033612345678", "GB")
	f.Fuzz(func(t *testing.T, number, country string) {
		_, err := phone.Parse(number, country)
		var refused *phone.Error
		if err == nil || !errors.As(err, &refused) {
			return
		}
		for _, r := range strings.ReplaceAll(refused.Reason, "ISO 3166-1", "") {
			if r >= '0' && r <= '9' {
				t.Fatalf("Parse(%q, %q): reason %s", number, country, strconv.Quote(refused.Reason))
			}
		}
	})
}
