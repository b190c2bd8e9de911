package phone_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"countersign/internal/phone"
)

func TestParse(t *testing.T) {
	t.Parallel()
	fiction := phone.Number{Digits: "447700900000", Country: "GB", Type: phone.Mobile}
	washington := phone.Number{Digits: "12025550123", Country: "US"}
	tests := []struct {
		name, number, country string
		want                  phone.Number
	}{
		{"international", "447700900000", "", fiction},
		{"plus", "+447700900000", "", fiction},
		{"separators", " +44 7700-900 000 ", "", fiction},
		{"plus decoded from a query as space", " 447700900000", "", fiction},
		{"trunk prefix inside", "+44 07700 900000", "", fiction},
		{"national", "07700 900000", "GB", fiction},
		{"national without trunk prefix", "7700900000", "gb", fiction},
		{"international with country", "447700900000", "GB", fiction},
		{"plus with country", "+447700900000", "Gb", fiction},
		{"plus with another country", "+447700900000", "US", fiction},
		{"international prefix dialled", "00 44 7700 900000", "GB", fiction},
		{"international prefix and trunk prefix", "0044 07700 900000", "GB", fiction},
		{"calling code and trunk prefix", "44 07700 900000", "GB", fiction},
		{"last of the range", "447700900999", "", phone.Number{Digits: "447700900999", Country: "GB", Type: phone.Mobile}},
		{"US", "12025550123", "", washington},
		{"US with country", "12025550123", "US", washington},
		{"US national", "2025550123", "US", washington},
		{"US national with trunk prefix", "1 202-555-0123", "us", washington},
		{"fiction in Canada's area code", "14165550199", "", phone.Number{Digits: "14165550199", Country: "US"}},
		{"fiction in no area code", "19995550100", "", phone.Number{Digits: "19995550100", Country: "US"}},
		{"Canada", "14165551234", "", phone.Number{Digits: "14165551234", Country: "CA"}},
		{"unassigned area code", "19992345678", "", phone.Number{Digits: "19992345678", Country: "US"}},
		{"mobile", "491701234567", "", phone.Number{Digits: "491701234567", Country: "DE", Type: phone.Mobile}},
		{"landline", "442079460000", "", phone.Number{Digits: "442079460000", Country: "GB", Type: phone.Landline}},
		{"Guernsey shares a calling code", "447781123456", "", phone.Number{Digits: "447781123456", Country: "GG", Type: phone.Mobile}},
		{"Kazakhstan shares a calling code", "77710009998", "", phone.Number{Digits: "77710009998", Country: "KZ", Type: phone.Mobile}},
		{"Italian zero stays", "06 12345678", "IT", phone.Number{Digits: "390612345678", Country: "IT", Type: phone.Landline}},
		{"Argentine mobile is rewritten", "011 15 2345-6789", "AR", phone.Number{Digits: "5491123456789", Country: "AR", Type: phone.Mobile}},
		{"calling code that is an area code too", "4915123456789", "DE", phone.Number{Digits: "4915123456789", Country: "DE", Type: phone.Mobile}},
		{"mobile that starts with the calling code", "9118001234", "IN", phone.Number{Digits: "919118001234", Country: "IN", Type: phone.Mobile}},
		{"unassigned area code that is abroad", "4362345678", "US", phone.Number{Digits: "14362345678", Country: "US"}},
		{"not valid today", "449999999999", "", phone.Number{Digits: "449999999999", Country: "GB"}},
		{"no country", "883510012345", "", phone.Number{Digits: "883510012345", Premium: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := phone.Parse(tt.number, tt.country)
			if err != nil || got != tt.want {
				t.Errorf("Parse(%q, %q) = %+v, %v; want %+v", tt.number, tt.country, got, err, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, number, country string
		want                  error
	}{
		{"empty", "", "", phone.ErrNumber},
		{"international with another country", "447700900000", "US", phone.ErrNumber},
		{"international prefix and another country", "011 44 7700 900000", "US", phone.ErrNumber},
		{"only separators", "+ - ", "", phone.ErrNumber},
		{"letters", "44770090000O", "", phone.ErrNumber},
		{"plus inside", "44+7700900000", "", phone.ErrNumber},
		{"two pluses", "++447700900000", "", phone.ErrNumber},
		{"broken UTF-8", "44\xff7700900000", "", phone.ErrNumber},
		{"extension", "447700900000;ext=1", "", phone.ErrNumber},
		{"calling code of nobody", "9991234567", "", phone.ErrNumber},
		{"national without country", "07700900000", "", phone.ErrNumber},
		{"too short", "44770090", "", phone.ErrNumber},
		{"too long", "4477009000001", "", phone.ErrNumber},
		{"longer than E.164", "4912345678901234", "", phone.ErrNumber},
		{"long input", "447700900000" + strings.Repeat(" ", 40), "", phone.ErrNumber},
		{"local only", "15550123", "", phone.ErrNumber},
		{"local only, national", "5550123", "US", phone.ErrNumber},
		{"service code", "999", "GB", phone.ErrNumber},
		{"trunk prefix twice", "+49 00 15112345", "", phone.ErrNumber},
		{"unknown country", "447700900000", "XX", phone.ErrCountry},
		{"three letters", "447700900000", "GBR", phone.ErrCountry},
		{"the world", "447700900000", "001", phone.ErrCountry},
		{"country that grows in upper case", "447700900000", "ß", phone.ErrCountry},
		{"bad number and bad country", "x", "XX", phone.ErrNumber},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := phone.Parse(tt.number, tt.country)
			if !errors.Is(err, tt.want) || got != (phone.Number{}) {
				t.Errorf("Parse(%q, %q) = %+v, %v; want error %v", tt.number, tt.country, got, err, tt.want)
			}
		})
	}
}

// The example number of every country must have the same result in all written forms.
func TestParseExamplesOfAllCountries(t *testing.T) {
	t.Parallel()
	for country := range phonenumbers.GetSupportedRegions() {
		for _, typ := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE} {
			example := phonenumbers.GetExampleNumberForType(country, typ)
			if example == nil {
				continue
			}
			e164 := phonenumbers.Format(example, phonenumbers.E164)
			want, err := phone.Parse(e164, "")
			if err != nil || "+"+want.Digits != e164 {
				t.Errorf("Parse(%s) = %v, %v", e164, want.Digits, err)
				continue
			}
			forms := []string{e164[1:]}
			if example.GetCountryCode() != 54 { // libphonenumber formats the example of Argentina with the wrong area code
				forms = append(forms, onlyDigits(phonenumbers.Format(example, phonenumbers.NATIONAL)))
			}
			for _, form := range forms {
				if got, err := phone.Parse(form, country); err != nil || got != want {
					t.Errorf("Parse(%s, %s) = %v, %v; want %v", form, country, got.Digits, err, want.Digits)
				}
			}
		}
	}
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func TestMask(t *testing.T) {
	t.Parallel()
	tests := []struct{ digits, want string }{
		{"447700900004", "4477••••04"},
		{"123456789012345", "1234••••45"},
		{"1234567890", "1234••••90"},
		{"123456789", "••••"},
		{"", "••••"},
		{"+447700900004", "••••"},
		{"nobody's number", "••••"},
	}
	for _, tt := range tests {
		if got := phone.Mask(tt.digits); got != tt.want {
			t.Errorf("Mask(%q) = %q, want %q", tt.digits, got, tt.want)
		}
	}
}

func TestNumberIsMaskedInLogs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	number := phone.Number{Digits: "447700900004", Country: "GB"}
	slog.New(slog.NewTextHandler(&out, nil)).Info("sent", "number", number)
	if got, want := out.String(), "number=4477••••04"; !strings.Contains(got, want) {
		t.Errorf("log line %q does not contain %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, number := range []string{"447700900000", "+1 202-555-0123", "07700 900000", "0", "+883510012345", "00390612345678"} {
		for _, country := range []string{"", "GB", "us", "IT"} {
			f.Add(number, country)
		}
	}
	f.Fuzz(func(t *testing.T, number, country string) {
		got, err := phone.Parse(number, country)
		if err != nil {
			if !errors.Is(err, phone.ErrNumber) && !errors.Is(err, phone.ErrCountry) {
				t.Fatalf("Parse(%q, %q) failed with a foreign error: %v", number, country, err)
			}
			return
		}
		if d := got.Digits; onlyDigits(d) != d || len(d) < phone.MinDigits || len(d) > phone.MaxDigits {
			t.Fatalf("Parse(%q, %q) = %q", number, country, d)
		}
		for _, again := range []struct{ number, country string }{{got.Digits, ""}, {"+" + got.Digits, country}} {
			if n, err := phone.Parse(again.number, again.country); err != nil || n != got {
				t.Fatalf("Parse(%q, %q) = %+v, but Parse(%q, %q) = %+v, %v",
					number, country, got, again.number, again.country, n, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct{ name, number, country string }{
		{"fiction", "447700900000", ""},
		{"international", "491701234567", ""},
		{"national", "0170 1234567", "DE"},
		{"sharedCallingCode", "14165551234", ""},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := phone.Parse(bb.number, bb.country); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestExpensive(t *testing.T) {
	t.Parallel()
	for digits, want := range map[string]bool{
		"447700900001": false, "447911123456": false, "442071838750": false, "12015550123": false,
		"4915123456789": false, "18765551234": false, "80012345678": false, "8613812345678": false,
		"19005551234": true, "449012345678": true, "447012345678": true, "499001234567": true,
		"8816123456": true, "881612345678": true, "870773123456": true, "882161234567": true, "979123456789": true,
		"88213300001": true, "999": true, "": true,
	} {
		if got := phone.Expensive(digits); got != want {
			t.Errorf("%q: %v", digits, got)
		}
	}
}
