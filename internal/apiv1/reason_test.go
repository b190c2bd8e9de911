package apiv1_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// TestReasons checks that the reason follows the published text of status 3, in JSON and
// XML.
func TestReasons(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) { o.Config.Limits.DeniedBrands = []string{"PayPal"} })
	limited := newAccount(t, s, verify.Account{Balance: verify.Unit, CustomPIN: true, Settings: verify.Settings{
		Strict: true, Workflows: []int{6}, Senders: []string{"Acme"},
	}}, "")
	for _, tt := range []struct {
		account, name, value, want string
	}{
		{"", "brand", "Booking.com", "brand (looks like a link: booking.com)"},
		{"", "brand", "see www.acme now", "brand (looks like a link: www.acme)"},
		{"", "brand", "x://y", "brand (looks like a link: x://y)"},
		{"", "brand", "at 192.0.2.1", "brand (looks like a link: 192.0.2.1)"},
		{"", "brand", "evil。com", "brand (looks like a link: evil.com)"},
		{"", "brand", "Ac\u200bme", "brand (invisible or control character: U+200B)"},
		{"", "brand", "Acme\u202e", "brand (invisible or control character: U+202E)"},
		{"", "brand", "Ac\nme", "brand (invisible or control character: U+000A)"},
		{"", "brand", "A\u200dB", "brand (invisible or control character: U+200D)"},
		{"", "brand", "A\U000e0041", "brand (invisible or control character: U+E0041)"},
		{"", "brand", "Acme 12345", "brand (five or more digits in a row look like a code)"},
		{"", "brand", "The Acme Corporation", "brand (too long: 20 characters, at most 18)"},
		{"", "brand", " \u3000", "brand (no visible character)"},
		{"", "brand", "My PAYPAL", "brand (denied name: paypal)"},
		{"", "sender_id", "ABCDEFGHIJKL", "sender_id (12 characters, at most 11)"},
		{"", "sender_id", "Zoë", "sender_id (must be letters A to Z, digits, space and .-_+&)"},
		{"", "sender_id", " Acme", "sender_id (begins or ends with a space)"},
		{limited, "sender_id", "Other", "sender_id (not allowed for this account)"},
		{"", "code_length", "5", "code_length (must be 4 or 6)"},
		{limited, "code_length", "4", "code_length (a PIN of this account has at least 6 characters)"},
		{"", "pin_expiry", "59", "pin_expiry (must be a whole number from 60 to 3600)"},
		{limited, "pin_expiry", "601", "pin_expiry (a PIN of this account is valid for at most 600 seconds)"},
		{"", "next_event_wait", "6.5", "next_event_wait (must be a whole number from 60 to 900)"},
		{"", "workflow_id", "8", "workflow_id (must be a whole number from 1 to 7)"},
		{limited, "workflow_id", "1", "workflow_id (not allowed for this account)"},
		{"", "lg", "tlh-tlh", "lg (no such locale: tlh-tlh)"},
		{"", "lg", "\u202een\x07" + strings.Repeat("é", 60), "lg (no such locale: U+202EenU+0007" + strings.Repeat("é", 25) + "…)"},
		{"", "number", "447700", "number (too short for GB)"},
		{"", "number", "+336123456789", "number (too long for FR)"},
		{"", "number", "call me", "number (not a number)"},
		{"", "number", "447700900000 x12", "number (not a number: extensions are not supported)"},
		{"", "number", "+999123456789", "number (unknown calling code)"},
		{"", "country", "XX", "country (not an ISO 3166-1 code of two letters)"},
		{"", "pin_code", "98-76", "pin_code (must be 4 to 10 letters and digits)"},
		{limited, "pin_code", "98765", "pin_code (a PIN of this account has at least 6 characters)"},
		{"", "require_type", "Any", "require_type (must be All, Mobile or Landline)"},
	} {
		params := form("number", aNumber, "brand", "Acme")
		if tt.account != "" {
			params = as(tt.account, params)
		}
		params.Set(tt.name, tt.value)
		wantText(t, send(t, s.URL(), request{path: "/verify/json", params: params}), "json", textInvalid+tt.want)
		wantText(t, send(t, s.URL(), request{path: "/verify/xml", params: params}), "xml", textInvalid+tt.want)
	}
	for _, tt := range []struct {
		path string
		request
		want string
	}{
		{"/verify/psd2/json", request{params: form("number", aNumber, "payee", "Booking.com", "amount", "1")}, "payee (looks like a link: booking.com)"},
		{"/verify/psd2/json", request{params: form("number", aNumber, "payee", "Shop", "amount", "12,50")}, "amount (12,50: not an amount such as 48.50)"},
		{"/verify/psd2/json", request{params: form("number", aNumber, "payee", "Shop", "amount", "0.00")}, "amount (0.00: must be more than 0)"},
		{"/verify/psd2/json", request{params: form("number", aNumber, "payee", "Shop", "amount", "1.005")}, "amount (1.005: more than two decimals)"},
		{"/verify/psd2/json", request{params: form("number", aNumber, "payee", "Shop", "amount", "1", "lg", "ko_KR")}, "lg (no such locale for payments: ko-kr)"},
		{"/verify/check/json", request{params: form("request_id", unknownID, "code", "1")}, "code (must be 4 to 10 letters and digits)"},
		{"/verify/check/json", request{params: form("request_id", "a\x00b", "code", "1234")}, "request_id (a NUL character)"},
		{"/verify/check/json", request{params: form("request_id", "a\u200bb", "code", "1234")}, "request_id (invisible or control character)"},
		{"/verify/control/json", request{params: form("request_id", unknownID, "cmd", "stop")}, "cmd (must be cancel or trigger_next_event)"},
		{"/verify/json", request{contentType: "text/plain", body: "x"}, "Content-Type (text/plain is neither application/json nor application/x-www-form-urlencoded)"},
		{"/verify/json", request{query: "a=%zz"}, `query ("%" without two hexadecimal digits)`},
		{"/verify/json", request{query: "a=1;b=2"}, `query (";" must be written as %3B)`},
		{"/verify/json", request{contentType: jsonType, body: `{"a":1,}`}, "body (not JSON: invalid character '}' looking for beginning of object key string)"},
		{"/verify/json", request{contentType: jsonType, body: `{"a":1`}, "body (not JSON: ends too early)"},
		{"/verify/json", request{contentType: jsonType, body: `[1]`}, "body (not a JSON object)"},
		{"/verify/json", request{contentType: jsonType, body: `{"brand":"x","brand":"y"}`}, "brand (given more than once)"},
		{"/verify/json", request{contentType: jsonType, body: `{"brand":["x"]}`}, "brand (a JSON array in place of text)"},
		{"/verify/json", request{contentType: jsonType, body: "{\"brand\":\"\xff\"}"}, "body (not UTF-8)"},
		{"/verify/json", request{contentType: jsonType, query: "brand=x", body: `{"brand":"y"}`}, "brand (the values in query and body differ)"},
	} {
		tt.request.path = tt.path
		wantText(t, send(t, s.URL(), tt.request), "json", textInvalid+tt.want)
	}
}

// wantText checks the error text of a refusal and that all its characters are visible.
func wantText(t *testing.T, a answer, format, want string) {
	t.Helper()
	var root node
	if format == "xml" {
		root = a.xml(t)
	} else {
		root = a.json(t)
	}
	for _, kid := range root.kids {
		if kid.name != "error_text" {
			continue
		}
		if kid.text != want {
			t.Errorf("%s: got %q, want %q", format, kid.text, want)
		}
		if !utf8.ValidString(kid.text) || strings.ContainsFunc(kid.text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q has invisible characters", kid.text)
		}
		return
	}
	t.Errorf("%s: no error text in %s", format, a.body)
}

// TestLinkBrands checks that an account may use the link-like names that its operator
// allows, and no others.
func TestLinkBrands(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) {
		o.Config.Limits.DeniedBrands = []string{"paypal"}
		o.Config.Templates.Approve = true
	})
	const looks = "3 " + textInvalid
	number := 447700900100
	nextNumber := func() string {
		number++
		return strconv.Itoa(number)
	}
	key := newAccount(t, s, verify.Account{Balance: 100 * verify.Unit, Settings: verify.Settings{
		LinkBrands: []string{"Booking.com", "E.Leclerc", "PayPal.com", "The Acme.com Company", "X.com 123456"},
	}}, "")
	for name, want := range map[string]string{
		"Booking.com": "", "BOOKING.COM": "", "  booking.com  ": "", "E.Leclerc": "", "e.leclerc": "", "Acme": "",
		"Booking.com.ru": looks, "Booking.org": looks, "evil-booking.com": looks, "Book\u200bing.com": looks, "Booking.com x": looks,
		"PayPal.com": looks, "The Acme.com Company": looks, "X.com 123456": looks, "Ｂooking.com": looks,
	} {
		for path, param := range map[string]string{"/verify/json": "brand", "/verify/psd2/json": "payee"} {
			wanted := want
			if want != "" {
				wanted += param
			}
			got := statusOf(call(t, s, path, as(key, form("number", nextNumber(), "amount", "1", param, name))))
			if got != wanted {
				t.Errorf("%s=%q: got %q, want %q", param, name, got, wanted)
			}
		}
	}
	if got := statusOf(call(t, s, "/verify/json", form("number", nextNumber(), "brand", "Booking.com"))); got != looks+"brand" {
		t.Errorf("another account: got %q", got)
	}
	for _, tt := range []struct{ template, want string }{
		{"${brand}: ${pin}.", ""},
		{"Your code for ${brand}. ${pin}", ""},
		{"${pin} evil-${brand}", looks + "brand"},
		{"${pin} ${brand}-x.y", ""},
	} {
		body := `{"action_type":"sms","lg":"en-gb","template":"` + tt.template + `"}`
		code, answer := hand(t, s, "?api_key="+key+"&api_secret="+server.DemoSecret, body)
		if code != 201 {
			t.Fatalf("%s: %d %v", tt.template, code, answer)
		}
		s.Clock.Advance(time.Second)
		if got := statusOf(call(t, s, "/verify/json", as(key, form("number", nextNumber(), "lg", "en-gb", "brand", "Booking.com")))); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.template, got, tt.want)
		}
	}
}
