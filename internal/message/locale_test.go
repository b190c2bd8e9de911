package message_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/message"
	"countersign/internal/verify"
)

func TestLocale(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct {
		name        string
		kind        message.Kind
		lg, country string
		want        string
		wantOK      bool
	}{
		{"asked for", message.Verification, "fr-fr", "GB", "fr-fr", true},
		{"any letter case", message.Verification, "FR-fr", "", "fr-fr", true},
		{"Cantonese", message.Verification, "yue-cn", "", "yue-cn", true},
		{"for later APIs only", message.Verification, "he-il", "IL", "", false},
		{"unknown", message.Verification, "xx-xx", "GB", "", false},
		{"half a locale", message.Verification, "fr", "FR", "", false},
		{"for payments only", message.Verification, "bg-bg", "BG", "", false},
		{"for verifications only", message.Payment, "en-us", "US", "", false},
		{"payment", message.Payment, "bg-bg", "", "bg-bg", true},

		{"GB", message.Verification, "", "GB", "en-gb", true},
		{"small letters", message.Verification, "", "gb", "en-gb", true},
		{"US", message.Verification, "", "US", "en-us", true},
		{"CA", message.Verification, "", "CA", "en-us", true},
		{"AU", message.Verification, "", "AU", "en-au", true},
		{"IN", message.Verification, "", "IN", "en-in", true},
		{"FR", message.Verification, "", "FR", "fr-fr", true},
		{"DE", message.Verification, "", "DE", "de-de", true},
		{"AT", message.Verification, "", "AT", "de-de", true},
		{"CH", message.Verification, "", "CH", "de-de", true},
		{"KR", message.Verification, "", "KR", "ko-kr", true},
		{"MX", message.Verification, "", "MX", "es-mx", true},
		{"ES", message.Verification, "", "ES", "es-es", true},
		{"BG, which lg does not accept", message.Verification, "", "BG", "bg-bg", true},
		{"AM", message.Verification, "", "AM", "hy-am", true},
		{"UZ", message.Verification, "", "UZ", "ru-ru", true},
		{"LA", message.Verification, "", "LA", "en-gb", true},
		{"IL", message.Verification, "", "IL", "he-il", true},
		{"PH", message.Verification, "", "PH", "en-us", true},
		{"no country", message.Verification, "", "", "en-us", true},
		{"no such country", message.Verification, "", "ZZ", "en-us", true},

		{"payment GB", message.Payment, "", "GB", "en-gb", true},
		{"payment FR", message.Payment, "", "FR", "fr-fr", true},
		{"payment BG", message.Payment, "", "BG", "bg-bg", true},
		{"payment KR", message.Payment, "", "KR", "en-gb", true},
		{"payment LA", message.Payment, "", "LA", "en-gb", true},
		{"payment IL", message.Payment, "", "IL", "en-gb", true},
		{"payment US", message.Payment, "", "US", "en-gb", true},
		{"payment no country", message.Payment, "", "", "en-gb", true},
	} {
		got, ok := c.Locale(tt.kind, tt.lg, message.Destination{Country: tt.country})
		if ok != tt.wantOK || ok && got != tt.want {
			t.Errorf("%s: got %q, %v; want %q, %v", tt.name, got, ok, tt.want, tt.wantOK)
		}
	}
}

func TestLocaleOfPrefix(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for number, want := range map[string]string{
		"15145550100": "fr-ca", "14185550100": "fr-ca", "18735550100": "fr-ca", // Quebec
		"14165550100": "en-us", "15135550100": "en-us", "1514": "fr-ca", "151": "en-us", "": "en-us",
	} {
		if got, _ := c.Locale(message.Verification, "", message.Destination{Country: "CA", Number: number}); got != want {
			t.Errorf("%q: got %s, want %s", number, got, want)
		}
	}
	if got, _ := c.Locale(message.Payment, "", message.Destination{Country: "CA", Number: "15145550100"}); got != "en-gb" {
		t.Errorf("payment in Quebec: got %s, want en-gb, because psd2 does not accept fr-ca", got)
	}
}

func TestLocaleOfCountry(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	other, err := c.WithLocaleOfCountry(map[string]string{"BE": "fr-FR", "CA": "fr_ca", "KZ": "kk-kz", "ES": "ca-es", "AR": "es-us"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind           message.Kind
		lg, country    string
		number         string
		before, chosen string
	}{
		{message.Verification, "", "BE", "32470000000", "nl-nl", "fr-fr"},
		{message.Verification, "", "be", "32470000000", "nl-nl", "fr-fr"},
		{message.Verification, "de-de", "BE", "32470000000", "de-de", "de-de"},
		{message.Verification, "", "CA", "14165550100", "en-us", "fr-ca"},
		{message.Verification, "", "NL", "31600000000", "nl-nl", "nl-nl"},
		{message.Payment, "", "BE", "32470000000", "nl-nl", "fr-fr"},
		{message.Payment, "", "ES", "34600000000", "es-es", "es-es"}, // as before, because psd2 does not accept ca-es
		{message.Payment, "", "AR", "5491100000000", "es-es", "es-es"},
		{message.Payment, "", "KZ", "77010000000", "en-gb", "en-gb"}, // psd2 does not accept kk-kz
	} {
		to := message.Destination{Country: tt.country, Number: tt.number}
		if got, _ := c.Locale(tt.kind, tt.lg, to); got != tt.before {
			t.Errorf("%+v: got %s by default", tt, got)
		}
		if got, _ := other.Locale(tt.kind, tt.lg, to); got != tt.chosen {
			t.Errorf("%+v: got %s with the setting", tt, got)
		}
	}
	for name, wrong := range map[string]map[string]string{
		`"XX" is not a country code`:                                {"XX": "fr-fr"},
		`"be" is not a country code`:                                {"be": "fr-fr"},
		`BE: "fr-be" is not a locale; did you mean fr-ca or fr-fr?`: {"BE": "fr-be"},
		`BE: "" is not a locale`:                                    {"BE": ""},
		`"BEL" is not a country code `:                              {"BEL": "fr-fr"},
	} {
		if _, err := c.WithLocaleOfCountry(wrong); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: error %v, want %q in it", wrong, err, name)
		}
	}
}

// The lists of the published document (spec/verify-v1.md §2).
func TestLocales(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, tt := range []struct {
		kind message.Kind
		want string
	}{
		{message.Verification, "ar-xa cs-cz cy-cy cy-gb da-dk de-de el-gr en-au en-gb en-in en-us es-es es-mx es-us fi-fi fil-ph fr-ca fr-fr hi-in hu-hu id-id is-is it-it ja-jp ko-kr nb-no nl-nl pl-pl pt-br pt-pt ro-ro ru-ru sv-se th-th tr-tr vi-vn yue-cn zh-cn zh-tw"},
		{message.Payment, "bg-bg cs-cz da-dk de-de ee-et el-gr en-gb es-es fi-fi fr-fr ga-ie hu-hu it-it lt-lt lv-lv mt-mt nl-nl pl-pl sk-sk sl-si sv-se"},
	} {
		if got, want := c.Locales(tt.kind), strings.Fields(tt.want); !slices.Equal(got, want) {
			t.Errorf("kind %d:\n got %q\nwant %q", tt.kind, got, want)
		}
	}
}

func TestLocaleThatIsNotAcceptedSpeaksAmericanEnglish(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	in := message.Input{Locale: "en-us", Brand: "Acme", PIN: pin(t, "1234"), ValidFor: time.Minute}
	want, wantCall := c.SMS(in), c.Call(in)
	in.Locale = "xx-xx"
	if got := c.SMS(in); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.Call(in); got.Locale != "en-us" || got.Words() != wantCall.Words() {
		t.Errorf("got %q in %s, want %q in en-us", got.Words(), got.Locale, wantCall.Words())
	}
}

// The original API calls in English for eight of its payment locales.
func TestPaymentCallInEnglish(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	for _, locale := range strings.Fields("bg-bg ee-et ga-ie lv-lv lt-lt mt-mt sk-sk sl-si") {
		in := message.Input{Locale: locale, Payment: &verify.Payment{Payee: "Acme", Amount: "1"}, PIN: pin(t, "1234")}
		if got := c.Call(in).Locale; got != "en-gb" {
			t.Errorf("%s: got call in %q, want en-gb", locale, got)
		}
	}
}

// isoCountries are the officially assigned ISO 3166-1 alpha-2 codes.
const isoCountries = `
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT
MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ
UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
`

func TestEveryCountryHasALocale(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	countries := c.Countries()
	for _, code := range append(strings.Fields(isoCountries), "AC", "TA", "XK") {
		if _, ok := slices.BinarySearch(countries, code); !ok {
			t.Errorf("%s is not in the table", code)
		}
	}
	if got, want := len(countries), 249+3; got != want {
		t.Errorf("got %d countries, want %d", got, want)
	}
}

func TestLocaleHint(t *testing.T) {
	t.Parallel()
	known := newCatalog(t).Locales(message.Verification)
	for lg, want := range map[string]string{
		"de": "; did you mean de-de?", "DE_at": "; did you mean de-de?", "fr-fe": "; did you mean fr-fr?",
		"pt-ao": "; did you mean pt-br or pt-pt?", "se-se": "; did you mean sv-se?", "tlh-tlh": "", "": "", "-": "",
	} {
		if got := message.LocaleHint(lg, known); got != want {
			t.Errorf("%q: got %q, want %q", lg, got, want)
		}
	}
}
