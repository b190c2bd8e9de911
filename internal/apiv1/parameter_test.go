package apiv1_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// value is one value of a parameter and its result: "" if accepted, otherwise status and text.
type value struct {
	name, value string
	want        string
}

const accepted = ""

func values(name, want string, list ...string) []value {
	var all []value
	for _, v := range list {
		all = append(all, value{name, v, want})
	}
	return all
}

// good and bad return accepted and refused values of a parameter.
func good(name string, list ...string) []value { return values(name, accepted, list...) }

func bad(name string, list ...string) []value {
	return values(name, "3 "+textInvalid+name, list...)
}

func concat(lists ...[]value) []value {
	var all []value
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// common returns values of the parameters of start and psd2.
func common() []value {
	return concat(
		good("code_length", "", "4", "6"),
		bad("code_length", "0", "3", "5", "7", "-4", "+4", "4.0", " 4", "４", "four"),
		good("pin_expiry", "", "60", "61", "3600"),
		bad("pin_expiry", "59", "3601", "0", "-60", "60.0", "1e3", "99999999999999999999"),
		good("next_event_wait", "", "60", "61", "900"),
		bad("next_event_wait", "59", "901", "0", "-60", "sixty"),
		good("workflow_id", "", "1", "2", "3", "4", "5", "6", "7"),
		bad("workflow_id", "0", "8", "-1", "1.0", "x"),
		good("require_type", "", "All", "ALL", "all", "Mobile", "MOBILE"),
		bad("require_type", "Any", "mobile phone"),
		values("require_type", "15 "+textUnsupported, "Landline", "LANDLINE"),
		good("country", "", "GB", "gb"),
		bad("country", "XX", "GBR", "G", "44", "ＧＢ"),
	)
}

// texts returns values of brand and payee.
func texts(name string) []value {
	return concat(
		good(name, "A", "Acme Inc", "A<b>&\"c\"'d'", "Café Zoë", "확인 서비스", "漢字", "بنك", "бренд", "A/B (C) #1 $2", "🍕 Pizza",
			strings.Repeat("x", 18), strings.Repeat("é", 18), strings.Repeat("확", 18), strings.Repeat("🍕", 18),
			strings.Repeat("e\u0301", 18), strings.Repeat("\u1112\u116a\u11a8", 18), " Acme ",
			"St. Mary", "Dr.Oetker", "Area 1984", "کافه\u200cبازار", "☕️"),
		bad(name, strings.Repeat("x", 19), strings.Repeat("é", 19), strings.Repeat("확", 19), " ", "\u00a0", "\u3000",
			"a\nb", "a\tb", "a\rb", "a\x1bb", "a\x7fb", "a\u0085b", // controls
			"a\u200eb", "a\u202eb", "a\u2066b", "a\u061cb", // bidirectional
			"a\u200bb", "a\u200db", "a\ufeffb", "a\u2060b", "a\u00adb", "a\u034fb", "a\u17b4b", // zero-width
			"a\u2028b", "a\u2029b", "a\u3164b", "a\u115fb", "\u2800", "a\ufffdb", "a\ue000b", "a\U000e0041b", "a\uffffb",
			"http://a", "www.acme", "acme.com", "acme．com", "192.0.2.1", // links
			"Acme 12345", "١٢٣٤٥"), // resembles a code
		values(name, "2 "+textMissing+name, ""),
	)
}

func startValues() []value {
	return concat(
		common(), texts("brand"),
		good("sender_id", "", "A", "ACME", "0123456789", "Acme-Inc.+1", "A&B_C", "ABCDEFGHIJK"),
		bad("sender_id", "ABCDEFGHIJKL", "<ACME>", "Zoë", "a\nb", " ", " ACME", "ACME ", "a;b", "a\"b"),
		good("pin_code", "", "1234", "12345", "0000", "1234567890", "abcd", "ABCdef1234"),
		bad("pin_code", "123", "12345678901", "12 4", "12-4", "١٢٣٤", "1234\n"),
		good("lg", strings.Fields(`ar-xa cs-cz cy-cy cy-gb da-dk de-de el-gr en-au en-gb en-in en-us es-es es-mx es-us fi-fi
			fil-ph fr-ca fr-fr hi-in hu-hu id-id is-is it-it ja-jp ko-kr nb-no nl-nl pl-pl pt-br pt-pt ro-ro ru-ru sv-se
			th-th tr-tr vi-vn yue-cn zh-cn zh-tw`)...),
		good("lg", "", "EN-US", "Fr-fr", "en_us", "zh_TW", "EN-us", "FIL_ph"),
		bad("lg", "en", "en--us", "en_us.UTF-8", "en-us ", "xx-xx", "bg-bg", "ga-ie", "sk-sk"),
	)
}

func psd2Values() []value {
	return concat(
		common(), texts("payee"),
		good("amount", "48", "48.0", "48.00", "48.5", "0.01", "00048", "999999999999.99"),
		bad("amount", "0", "0.0", "0.00", "00.00", "0.001", "0.30000000000000004", "-1", "+1", "48.", ".5", "48.000", "48,00", "1e2", "€48", "48 EUR", "0x1", "1000000000000", "NaN", "４８", "4 8"),
		values("amount", "2 "+textMissing+"amount", ""),
		good("lg", strings.Fields(`en-gb bg-bg cs-cz da-dk de-de ee-et el-gr es-es fi-fi fr-fr ga-ie hu-hu it-it lv-lv lt-lt
			mt-mt nl-nl pl-pl sk-sk sl-si sv-se`)...),
		good("lg", "", "EN-GB", "de_DE"),
		bad("lg", "en-us", "ko-kr", "ja-jp", "sk-si", "en"),
		// Not parameters of psd2, so without effect.
		good("brand", "a brand that is too long"), good("sender_id", "<>"), good("pin_code", "1"),
	)
}

// TestParameters checks values on both sides of every limit.
func TestParameters(t *testing.T) {
	t.Parallel()
	for path, tt := range map[string]struct {
		required []string
		values   []value
	}{
		"/verify/json":      {[]string{"brand", "Acme"}, startValues()},
		"/verify/psd2/json": {[]string{"payee", "Acme", "amount", "48.00"}, psd2Values()},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t)
			number := 447700900100
			for _, v := range tt.values {
				number++
				params := form(append([]string{"number", strconv.Itoa(number)}, tt.required...)...)
				params.Set(v.name, v.value)
				got := call(t, s, path, params)
				if want := v.want; statusOf(got) != want {
					t.Errorf("%s=%q: got %q, want %q", v.name, v.value, statusOf(got), want)
				}
			}
			if n := number - 447700900100; n > 899 {
				t.Errorf("%d values exceed the test numbers", n)
			}
		})
	}
}

// statusOf returns "" for a success, otherwise status and published text.
func statusOf(fields map[string]string) string {
	if fields["status"] == "0" {
		return ""
	}
	return fields["status"] + " " + published(fields["error_text"])
}

// TestNumbers checks the parsing of number and country, and the number in search results.
func TestNumbers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, tt := range []struct{ number, country, want string }{ // want: the number, or status and text
		{"447700900100", "", "447700900100"},
		{"+447700900101", "", "447700900101"},
		{"+44 7700-900 102", "", "447700900102"},
		{"07700900103", "GB", "447700900103"},
		{"7700900104", "gb", "447700900104"},
		{"447700900105", "GB", "447700900105"},
		{"+447700900106", "US", "447700900106"},
		{"12025550123", "", "12025550123"},
		{"2025550124", "US", "12025550124"},
		{"9876543210", "IN", "919876543210"},
		{"33612345678", "", "33612345678"},
		{"0612345679", "FR", "33612345679"},
		{"447999999999", "", "447999999999"}, // possible, also if the plan does not have the range
		{"07700900103", "", "3 " + textInvalid + "number"},
		{"7700900104", "", "3 " + textInvalid + "number"}, // Russia, too short
		{"447700", "", "3 " + textInvalid + "number"},
		{"4477009001000", "", "3 " + textInvalid + "number"},
		{"999447700900100", "", "3 " + textInvalid + "number"}, // no such calling code
		{"44(0)7700900107", "", "447700900107"},
		{"٤٤٧٧٠٠٩٠٠١٠٨", "", "447700900108"},
		{"00447700900109", "GB", "447700900109"},
		{"+33612345680", "GB", "33612345680"},
		{"1 55 17078160", "MX", "525517078160"},
		{"+447700900110", "AQ", "447700900110"},
		{"2025550188", "AQ", "3 " + textInvalid + "country"},
		{"20222446307", "US", "3 " + textInvalid + "number"}, // +20 is Egypt
		{"77009888319", "GB", "3 " + textInvalid + "number"},
		{"0033612345678", "GB", "3 " + textInvalid + "number"},
		{"44770090010x", "", "3 " + textInvalid + "number"},
		{"++447700900100", "", "3 " + textInvalid + "number"},
		{" ", "", "3 " + textInvalid + "number"},
		{strings.Repeat("4", 1000), "", "3 " + textInvalid + "number"},
		{"", "", "2 " + textMissing + "number"},
	} {
		got := call(t, s, "/verify/json", form("number", tt.number, "country", tt.country, "brand", "Acme"))
		text := statusOf(got)
		if text == "" {
			text = search(t, s, got["request_id"])["number"]
		}
		if text != tt.want {
			t.Errorf("%q in %q: got %q, want %q", tt.number, tt.country, text, tt.want)
		}
	}
}

// TestParametersOfAFollowUp checks the parameters of check, control and search.
func TestParametersOfAFollowUp(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber, "pin_code", "ABCdef1234")
	ids := func(n int) []string { return strings.Fields(strings.Repeat(" request_ids "+id, n)) }
	long := strings.Repeat("0", 33)
	notFound := "6 " + textUnable + "Request '%' was not found or it has been verified already."
	inactive := "6 The requestId '%' does not exist or its no longer active."
	for _, tt := range []struct {
		path   string
		params []string
		want   string
	}{
		{"check", []string{"request_id", id}, "2 " + textMissing + "code"},
		{"check", []string{"code", "1234"}, "2 " + textMissing + "request_id"},
		{"check", []string{"request_id", id, "code", "123"}, "3 " + textInvalid + "code"},
		{"check", []string{"request_id", id, "code", "12345678901"}, "3 " + textInvalid + "code"},
		{"check", []string{"request_id", id, "code", "12 3"}, "3 " + textInvalid + "code"},
		{"check", []string{"request_id", id, "code", " - "}, "3 " + textInvalid + "code"},
		{"check", []string{"request_id", id, "code", "12.34"}, "3 " + textInvalid + "code"},
		{"check", []string{"request_id", id, "code", "①②③④"}, "3 " + textInvalid + "code"},
		{"check", []string{"request_id", long, "code", "1234"}, "3 " + textInvalid + "request_id"},
		{"check", []string{"request_id", "a\nb", "code", "1234"}, "3 " + textInvalid + "request_id"},
		{"check", []string{"request_id", "a\u202eb", "code", "1234"}, "3 " + textInvalid + "request_id"},
		{"check", []string{"request_id", "0' OR '1'='1", "code", "1234"}, strings.ReplaceAll(notFound, "%", "0' OR '1'='1")},
		{"check", []string{"request_id", unknownID, "code", "1234"}, strings.ReplaceAll(notFound, "%", unknownID)},
		{"control", []string{"request_id", id}, "2 " + textMissing + "cmd"},
		{"control", []string{"cmd", "cancel"}, "2 " + textMissing + "request_id"},
		{"control", []string{"request_id", id, "cmd", "CANCEL"}, "3 " + textInvalid + "cmd"},
		{"control", []string{"request_id", id, "cmd", "stop"}, "3 " + textInvalid + "cmd"},
		{"control", []string{"request_id", unknownID, "cmd", "cancel"}, strings.ReplaceAll(inactive, "%", unknownID)},
		{"control", []string{"request_id", unknownID, "cmd", "trigger_next_event"}, strings.ReplaceAll(inactive, "%", unknownID)},
		{"search", nil, "2 " + textMissing + "request_id"},
		{"search", []string{"request_ids", ""}, "2 " + textMissing + "request_id"},
		{"search", []string{"request_id", long}, "3 " + textInvalid + "request_id"},
		{"search", []string{"request_ids", id, "request_ids", long}, "3 " + textInvalid + "request_ids"},
		{"search", []string{"request_id", "nonsense"}, "101 " + textNoResponse},
		{"search", []string{"request_ids", "nonsense", "request_ids", unknownID}, "101 " + textNoResponse},
		{"search", ids(10), " "}, // lists have neither
		{"search", ids(11), "18 " + textTooManyIDs},
		{"search", append(ids(10), "request_id", id), "18 " + textTooManyIDs},
		// A malformed code cost no attempt. Letter case is ignored in ids, but not in codes.
		{"check", []string{"request_id", id, "code", "abcDEF1234"}, "16 " + textWrongCode},
		{"check", []string{"request_id", strings.ToUpper(id), "code", "ABCdef1234"}, ""},
	} {
		got := statusOf(call(t, s, "/verify/"+tt.path+"/json", form(tt.params...)))
		if got != tt.want {
			t.Errorf("%s %v: got %q, want %q", tt.path, tt.params, got, tt.want)
		}
	}
	if n := len(checksOf(t, s, id)); n != 2 {
		t.Errorf("%d checks were counted, want the 2 with a code", n)
	}
}

func checksOf(t *testing.T, s *servertest.Server, id string) []node {
	t.Helper()
	for _, kid := range send(t, s.URL(), request{path: "/verify/search/json", params: form("request_id", id)}).json(t).kids {
		if kid.name == "checks" {
			return kid.kids
		}
	}
	t.Fatal("no checks")
	return nil
}

// TestIPAddress checks that an address is stored in canonical form, under both parameter
// names; invalid addresses are ignored.
func TestIPAddress(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for _, tt := range []struct {
		params []string
		want   string
	}{
		{nil, ""},
		{[]string{"ip_address", "192.0.2.1"}, "192.0.2.1"},
		{[]string{"ip", "192.0.2.2"}, "192.0.2.2"},
		{[]string{"ip_address", "2001:DB8:0::1"}, "2001:db8::1"},
		{[]string{"ip_address", "192.0.2.1", "ip", "192.0.2.2"}, "192.0.2.1"},
		{[]string{"ip_address", "not an address"}, ""},
		{[]string{"ip_address", "fe80::1%<script>"}, ""},
		{[]string{"ip_address", strings.Repeat("1", 10000)}, ""},
	} {
		number++
		id := startOn(t, s, strconv.Itoa(number), "pin_code", "1234")
		got := call(t, s, "/verify/check/json", form(append([]string{"request_id", id, "code", "4321"}, tt.params...)...))
		if got["status"] != "16" {
			t.Errorf("%v: got %v", tt.params, got)
		}
		for _, field := range checksOf(t, s, id)[0].kids {
			if field.name == "ip_address" && field.text != tt.want {
				t.Errorf("%v: got %q, want %q", tt.params, field.text, tt.want)
			}
		}
	}
}

// TestPINCode checks that a chosen PIN requires permission and is then sent.
func TestPINCode(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	without := newAccount(t, s, verify.Account{Balance: verify.Unit}, "")
	for _, pin := range []string{"1234", "1"} {
		got := call(t, s, "/verify/json", as(without, form("number", aNumber, "brand", "Acme", "pin_code", pin)))
		if statusOf(got) != "20 "+textNoPINCode {
			t.Errorf("pin_code %s without permission: %v", pin, got)
		}
	}
	id := startOn(t, s, aNumber, "pin_code", "9876543210")
	if m := messagesOf(t, s, id, 1)[0]; m.PIN() != "9876543210" {
		t.Errorf("got %q", m.Text)
	}
	s.Clock.Advance(125 * time.Second)
	if m := messagesOf(t, s, id, 2)[1]; m.PIN() != "9876543210" {
		t.Errorf("got %q", m.Text)
	}
	if got := checkCode(t, s, id, "9876543210"); got["status"] != "0" {
		t.Errorf("check: %v", got)
	}
}

// TestBrandIsComposed checks that "é" counts as one character in both Unicode forms.
func TestBrandIsComposed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	startOn(t, s, aNumber, "brand", "Cafe\u0301 <\u1112\u116a\u11a8&>")
	if m := s.WaitMessages(aNumber, 1)[0]; !strings.HasPrefix(m.Text, "Café <확&> code: ") {
		t.Errorf("got %q", m.Text)
	}
}
