package apiv1_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/servertest"
	"countersign/internal/signature"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// TestContentTypes checks that the media type selects the parser of a body, in any
// notation of its parameters.
func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for _, tt := range []struct{ kind, contentType, before, after, want string }{
		{"json", "application/json; utf-8", "", "", "200 0 "},
		{"json", "application/json;UTF-8", "", "", "200 0 "},
		{"json", "application/json; charset=", "", "", "200 0 "},
		{"json", "application/json;", "", "", "200 0 "},
		{"json", "application/json; charset=utf-8; charset=utf-8", "", "", "200 0 "},
		{"json", `application/json; charset="utf-8`, "", "", "200 0 "},
		{"json", "APPLICATION/JSON; CHARSET=UTF-8", "", "", "200 0 "},
		{"json", "application/json, charset=utf-8", "", "", "200 0 "},
		{"json", "application/json; charset=iso-8859-1", "", "", "200 0 "},
		{"json", jsonType, "\ufeff", "", "200 0 "},
		{"json", "application/json; utf-8", "\ufeff \r\n", "\r\n", "200 0 "},
		{"form", "application/x-www-form-urlencoded; UTF-8", "", "", "200 0 "},
		{"form", "application/x-www-form-urlencoded; charset=", "", "", "200 0 "},
		{"form", "application/x-www-form-urlencoded;;charset=utf-8;charset=utf-8", "", "", "200 0 "},
		{"form", "Application/X-WWW-Form-Urlencoded", "", "", "200 0 "},
		{"form", "; charset=", "", "", "200 0 "},
		{"form", "", "", "\r\n", "200 0 "},
		{"form", formType, "", "\r\n", "200 0 "},
		{"form", formType, "", "\n\n", "200 0 "},
		{"form", formType, "\ufeff", "\r\n", "200 0 "},
		{"form", formType, "", "%0D%0A", wantParam("brand")},
		{"form", formType, "", "&lg=%E9", wantParam("lg")},
		{"json", "text/json", "", "", wantType},
		{"json", "application/jsonp; application/json", "", "", wantType},
	} {
		number++
		body := fmt.Sprintf(`{"api_key":"demo0001","api_secret":"demosecret0001","number":"%d","brand":"Café"}`, number)
		if tt.kind == "form" {
			body = fmt.Sprintf("api_key=demo0001&api_secret=demosecret0001&number=%d&brand=Acme", number)
		}
		ask := request{path: "/verify/json", contentType: tt.contentType, body: tt.before + body + tt.after, anonymous: true}
		if got := send(t, s.URL(), ask).summary(t, "json"); got != tt.want {
			t.Errorf("%s as %q between %q and %q: got %s, want %s", tt.kind, tt.contentType, tt.before, tt.after, got, tt.want)
		}
	}
}

// TestIgnoredMembers checks that unknown members may have any JSON type.
func TestIgnoredMembers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for _, more := range []string{
		`"test":true`, `"test":false`, `"meta":{"a":{"b":[1,true,null,"x"]}}`, `"tags":["a"]`, `"tags":[]`, `"meta":{}`, `"x":null`,
		`"a":1e400`, `"a":-1.5e-300`, `"a":123456789012345678901234567890`, `"template":{"a":1}`, `"network":["x"]`, `"type":true`,
		`"Brand":{"a":1}`, `"":[]`, `"a":{"brand":"x","brand":"y"}`, `"\u0000":{}`, `"a\nb":[1]`, `"é":{"ü":1}`,
		`"deep":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		`"big":["` + strings.Repeat("x", 30_000) + `"]`,
		strings.ReplaceAll(manyJSON(96), ":1", ":[true]"),
		`"cmd":{}`, `"ip_address":[]`, `"code":true`, `"request_id":{}`, `"request_ids":[true]`, `"amount":{}`, `"payee":[1]`, // of other endpoints
	} {
		number++
		body := strings.Replace(object(more), "447700900100", strconv.Itoa(number), 1)
		ask := request{path: "/verify/json", contentType: jsonType, body: body, anonymous: true}
		if got := send(t, s.URL(), ask).summary(t, "json"); got != "200 0 " {
			t.Errorf("%.100s: got %s", more, got)
		}
	}
	for _, tt := range []struct{ path, more, param string }{
		{"", `"lg":["en-us"]`, "lg"}, {"", `"lg":{}`, "lg"}, {"", `"lg":true`, "lg"}, {"", `"pin_code":false`, "pin_code"}, {"", `"timestamp":[1]`, "timestamp"},
		{"/psd2", `"amount":{}`, "amount"}, {"/psd2", `"payee":[1]`, "payee"},
		{"/check", `"code":true`, "code"}, {"/check", `"ip_address":[]`, "ip_address"}, {"/check", `"request_id":{}`, "request_id"},
		{"/control", `"cmd":{}`, "cmd"}, {"/search", `"request_ids":{}`, "request_ids"}, {"/search", `"request_ids":[true]`, "request_ids"},
		{"/search", `"request_ids":[{}]`, "request_ids"}, {"/search", `"request_ids":[["a"]]`, "request_ids"}, {"/search", `"request_ids":[null]`, "request_ids"},
	} {
		ask := request{path: "/verify" + tt.path + "/json", contentType: jsonType, body: object(tt.more), anonymous: true}
		if got := send(t, s.URL(), ask).summary(t, "json"); got != wantParam(tt.param) {
			t.Errorf("%s %s: got %s, want %s", tt.path, tt.more, got, wantParam(tt.param))
		}
	}
}

// TestSignedMembers checks that a signature covers text, numbers, true and false as
// written in the JSON, but not objects, arrays and null.
func TestSignedMembers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for i, tt := range []struct {
		signed []string
		more   string
	}{
		{[]string{"workflow_id", "6.0"}, `"workflow_id":6.0`},
		{[]string{"test", "true"}, `"test":true`},
		{nil, `"meta":{"a":"b"},"tags":["a","b"],"none":null`},
	} {
		params := form(append([]string{"number", strconv.Itoa(447700900200 + i), "brand", "Acme"}, tt.signed...)...)
		sign(params, "demo0001", signature.SHA256, s.Clock.Now())
		body := fmt.Sprintf(`{"api_key":%q,"timestamp":%q,"sig":%q,"number":%q,"brand":"Acme",%s}`,
			params.Get("api_key"), params.Get("timestamp"), params.Get("sig"), params.Get("number"), tt.more)
		a := send(t, s.URL(), request{path: "/verify/json", contentType: jsonType, body: body, anonymous: true})
		if got := a.summary(t, "json"); got != "200 0 " {
			t.Errorf("%s: got %s", tt.more, got)
		}
	}
}

// TestJSONAmounts checks that an amount computed in binary floating point is rounded to
// the intended amount.
func TestJSONAmounts(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for amount, want := range map[string]string{
		"0.30000000000000004": "€0.30", "48.10": "€48.10", "48": "€48.00", "48.0": "€48.00", "4.85e1": "€48.50", "1E+2": "€100.00",
		"1248.4999999999998": "€1,248.50", "0.7999999999999999": "€0.80", "19.990000000000002": "€19.99", "48.500": "€48.50",
		"999999999999.99": "€999,999,999,999.99", "123456789.10000001": "€123,456,789.10",
		"0": "", "0.0": "", "0.00": "", "-0.0": "", "1e-12": "", "0.001": "", "0.301": "", "0.3000001": "", "10000000.005": "", "1e12": "", "-1.5": "",
		"1e400": "", `"0.30000000000000004"`: "", `"1e2"`: "",
	} {
		number++
		body := fmt.Sprintf(`{"api_key":"demo0001","api_secret":"demosecret0001","number":"%d","payee":"Shop","lg":"en-gb","amount":%s}`, number, amount)
		got := send(t, s.URL(), request{path: "/verify/psd2/json", contentType: jsonType, body: body, anonymous: true}).summary(t, "json")
		if want == "" {
			if got != wantParam("amount") {
				t.Errorf("%s: got %s, want %s", amount, got, wantParam("amount"))
			}
			continue
		}
		if got != "200 0 " {
			t.Errorf("%s: got %s, want the amount %s", amount, got, want)
			continue
		}
		if text := s.WaitMessages(strconv.Itoa(number), 1)[0].Text; !strings.Contains(text, want) {
			t.Errorf("%s: the message is %q, want %s", amount, text, want)
		}
	}
}

// TestTypedCodes checks that a code is accepted in the forms that keyboards and
// clipboards produce. A malformed code costs no attempt.
func TestTypedCodes(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	number := 447700900100
	for _, code := range []string{
		"123456", "123 456", "123-456", " 123456\r\n", "1 2 3 4 5 6", "123\u00a0456", "123\u2013456", "123\u2212456", "123\u200b456", "\u202a123456\u202c",
		"\ufeff123456", "１２３４５６", "١٢٣٤٥٦", "۱۲۳۴۵۶", "१२३४५६", "১২৩৪৫৬", "๑๒๓๔๕๖", "១២៣៤៥៦", "١٢٣-٤٥٦", "１２３ 456", "\U0001d7cf\U0001d7d0\U0001d7d1\U0001d7d2\U0001d7d3\U0001d7d4",
	} {
		number++
		id := startOn(t, s, strconv.Itoa(number), "pin_code", "123456")
		for _, malformed := range []string{"123.456", "12/3456", "①②③④⑤⑥", "123", "123456 is the code", "--", "12345678901", "123456é", "一二三四五六"} {
			if got := statusOf(checkCode(t, s, id, malformed)); got != "3 "+textInvalid+"code" {
				t.Errorf("%q: got %q", malformed, got)
			}
		}
		if got := checkCode(t, s, id, code); got["status"] != "0" {
			t.Errorf("%+q: got %v", code, got)
		}
	}
	id := startOn(t, s, aNumber, "pin_code", "Ab12")
	if got := checkCode(t, s, id, "Ａｂ１２"); got["status"] != "0" {
		t.Errorf("full-width letters: got %v", got)
	}
}

// TestRepeatedParameter checks that a parameter may be repeated with an equal value.
func TestRepeatedParameter(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber)
	for _, tt := range []struct{ second, want string }{{id, ""}, {unknownID, textInvalid + "request_id"}} {
		params := form("request_id", id, "request_id", tt.second, "lg", "", "lg", "")
		for where, r := range map[string]request{
			"body":           {path: "/verify/search/json", params: params},
			"query":          {path: "/verify/search/json", method: "GET", params: params},
			"query and body": {path: "/verify/search/json", query: "request_id=" + tt.second, params: form("request_id", id)},
		} {
			answer := send(t, s.URL(), r).body
			if found := strings.Contains(answer, `"status":"IN PROGRESS"`); found != (tt.second == id) {
				t.Errorf("%s: %s", where, answer)
			}
			if tt.want != "" && !strings.Contains(answer, tt.want) {
				t.Errorf("%s: %s, want %s", where, answer, tt.want)
			}
		}
	}
}

// TestRepeatedIDs checks that a repeated id has one result.
func TestRepeatedIDs(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	a, b := startOn(t, s, "447700900100"), startOn(t, s, "447700900101")
	for _, ids := range [][]string{{a, b, a}, {a, strings.ToUpper(a), b, b}} {
		list := send(t, s.URL(), request{path: "/verify/search/json", params: form("request_ids", ids[0], "request_ids", ids[1], "request_ids", ids[2], "request_id", ids[len(ids)-1])}).json(t)
		if n := len(list.kids[0].kids); n != 2 {
			t.Errorf("%v: got %d results, want 2", ids, n)
		}
	}
	one := send(t, s.URL(), request{path: "/verify/search/json", contentType: jsonType, body: `{"request_ids":["` + a + `","` + a + `"]}`}).json(t)
	if n := len(one.kids[0].kids); one.kids[0].name != "verification_requests" || n != 1 {
		t.Errorf("got %d results in %s, want 1 in a list", n, one.kids[0].name)
	}
}
