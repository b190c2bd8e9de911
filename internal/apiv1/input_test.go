package apiv1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/server"
	"countersign/internal/servertest"
)

// input is an invalid request.
type input struct {
	name string
	request
	want string // HTTP code, status and text
}

const (
	wantBody  = "200 3 " + textInvalid + "body"
	wantQuery = "200 3 " + textInvalid + "query"
	wantType  = "200 3 " + textInvalid + "Content-Type"
)

func wantParam(name string) string { return "200 3 " + textInvalid + name }

// right is a request that would be accepted.
const right = `"api_key":"demo0001","api_secret":"demosecret0001","number":"447700900100","brand":"Acme"`

func object(more string) string { return "{" + right + "," + more + "}" }

func jsonInputs() []input {
	var all []input
	for _, c := range []struct{ name, body, want string }{
		{"broken", "{" + right, wantBody},
		{"a comma too many", "{" + right + ",}", wantBody},
		{"no colon", `{"number" "447700900100"}`, wantBody},
		{"two objects", "{" + right + "}{}", wantBody},
		{"text after", "{" + right + "} x", wantBody},
		{"array", "[{" + right + "}]", wantBody},
		{"string", `"` + strings.Repeat("x", 100) + `"`, wantBody},
		{"null", "null", wantBody},
		{"two byte order marks", "\ufeff\ufeff{" + right + "}", wantBody},
		{"UTF-16", "\xff\xfe{\x00}\x00", wantBody},
		{"not UTF-8", object(`"country":"` + "\xff" + `"`), wantBody},
		{"not UTF-8 in a name", object(`"` + "\xc3\x28" + `":"x"`), wantBody},
		{"a name that is a number", `{1:"x"}`, wantBody},
		{"NaN", object(`"amount":NaN`), wantBody},
		{"a number with a zero first", object(`"code_length":04`), wantBody},
		{"object", object(`"timestamp":{"a":"b"}`), wantParam("timestamp")},
		{"array of one", object(`"timestamp":["en-us"]`), wantParam("timestamp")},
		{"true", object(`"timestamp":true`), wantParam("timestamp")},
		{"false", object(`"timestamp":false`), wantParam("timestamp")},
		{"a name twice", object(`"brand":"Acme"`), wantParam("brand")},
		{"a name twice, escaped", object(`"br\u0061nd":"Acme"`), wantParam("brand")},
		{"a name twice, once null", object(`"brand":null`), wantParam("brand")},
		{"NUL", object(`"lg":"en-us\u0000"`), wantParam("lg")},
		{"unknown names twice", object(`"x":1,"x":1`), wantParam("x")},
		{"a name of controls twice", object(`"\u0007":1,"\u0007":1`), wantBody},
		{"a long name twice", object(`"` + strings.Repeat("n", 65) + `":1,"` + strings.Repeat("n", 65) + `":1`), wantBody},
		{"markup in a name", object(`"<a>&":1,"<a>&":1`), wantParam("<a>&")},
		{"nested too deep in the body", strings.Repeat("[", 50_000), wantBody},
		{"nested too deep in a value", object(`"lg":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), wantBody},
		{"nested objects", object(`"timestamp":` + strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000)), wantParam("timestamp")},
		{"an ignored member that is nested too deep", object(`"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), wantBody},
		{"an ignored member that is broken", object(`"a":{"b":[1,}}`), wantBody},
		{"an ignored member twice", object(`"a":{},"a":[]`), wantParam("a")},
		{"too many ignored members", object(strings.ReplaceAll(manyJSON(200), ":1", ":{}")), wantBody},
		{"too many parameters", object(manyJSON(10_000 / 2)), wantBody},
		{"too large", object(`"lg":"` + strings.Repeat("x", 1<<16) + `"`), "413 3 Request body too large"},
		{"much too large", strings.Repeat(" ", 1<<20), "413 3 Request body too large"},
	} {
		all = append(all, input{"json, " + c.name, request{contentType: "application/json", body: c.body, anonymous: true}, c.want})
	}
	return all
}

func manyJSON(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"p%d":1,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&p%d=", i)
	}
	return b.String()
}

func formInputs() []input {
	const rightForm = "api_key=demo0001&api_secret=demosecret0001&number=447700900100&brand=Acme"
	const formType = "application/x-www-form-urlencoded"
	var all []input
	for _, c := range []struct{ name, add, want string }{
		{"percent", "&lg=%zz", ""},
		{"percent at the end", "&lg=%", ""},
		{"semicolon", "&lg=en-us;x=y", ""},
		{"not UTF-8", "&lg=%ff", wantParam("lg")},
		{"overlong UTF-8", "&lg=%c0%af", wantParam("lg")},
		{"not UTF-8 in a name", "&%ff=1", wantBody},
		{"NUL", "&lg=en-us%00", wantParam("lg")},
		{"NUL in a brand", "&sender_id=A%00", wantParam("sender_id")},
		{"twice another", "&number=447700900101", wantParam("number")},
		{"unknown twice", "&x=1&x=2", wantParam("x")},
		{"secret twice", "&api_secret=x", wantParam("api_secret")},
		{"brackets", "&brand[]=x&brand[]=y", wantParam("brand[]")},
		{"many parameters", many(97), wantBody},
	} {
		inBody, inQuery := c.want, c.want
		if c.want == "" {
			inBody, inQuery = wantBody, wantQuery
		}
		all = append(all,
			input{"form, " + c.name, request{contentType: formType, body: rightForm + c.add, anonymous: true}, inBody},
			input{"query, " + c.name, request{query: rightForm + c.add, anonymous: true, contentType: formType, body: " "}, inQuery})
	}
	return append(all,
		input{"form, 10,000 parameters", request{contentType: formType, body: rightForm + many(7_000), anonymous: true}, wantBody},
		input{"form, too large", request{contentType: formType, body: rightForm + many(20_000), anonymous: true}, "413 3 Request body too large"},
		input{"query and form say different things", request{query: "brand=Acme", contentType: formType, body: strings.Replace(rightForm, "Acme", "Other", 1), anonymous: true}, wantParam("brand")},
		input{"query and json say different things", request{query: "number=447700900101", contentType: "application/json", body: "{" + right + "}", anonymous: true}, wantParam("number")},
		input{"query with a name twice, and a form", request{query: "lg=en-us&lg=en-gb", contentType: formType, body: rightForm, anonymous: true}, wantParam("lg")},
		input{"text", request{contentType: "text/plain", body: rightForm, anonymous: true}, wantType},
		input{"multipart", request{contentType: "multipart/form-data; boundary=x", body: "--x--", anonymous: true}, wantType},
		input{"xml", request{contentType: "text/xml", body: "<a/>", anonymous: true}, wantType},
		input{"no type at all", request{contentType: "nonsense;;;", body: rightForm, anonymous: true}, wantType},
		input{"a form that says it is json", request{contentType: "application/json", body: rightForm, anonymous: true}, wantBody},
		input{"json that says it is a form", request{contentType: formType, body: "{" + right + "}", anonymous: true}, "200 2 Missing api_key"},
	)
}

// TestBadInput checks that invalid input gets a clear response in the requested format
// and changes no data.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	db := open(t, s)
	before := countWritten(t, s, db)
	for _, in := range append(jsonInputs(), formInputs()...) {
		for _, format := range []string{"json", "xml"} {
			for _, path := range []string{"/verify/", "/verify/check/", "/verify/search/", "/verify/control/"} {
				in.path = path + format
				a := send(t, s.URL(), in.request)
				if got := a.summary(t, format); got != in.want {
					t.Errorf("%s%s, %s: got %s, want %s", path, format, in.name, got, in.want)
				}
			}
		}
	}
	if after := countWritten(t, s, db); after != before {
		t.Errorf("written %+v, before %+v", after, before)
	}
}

// TestJSONNumbers checks that a JSON number is read as its text.
func TestJSONNumbers(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for i, tt := range []struct{ more, want string }{
		{`"code_length":6,"pin_expiry":600,"workflow_id":6`, "200 0 "},
		{`"code_length":null,"lg":null,"request_ids":[]`, "200 0 "},
		{`"code_length":4e0`, "200 0 "},
		{`"code_length":4.0`, "200 0 "},
		{`"code_length":5.0`, wantParam("code_length")},
		{`"code_length":"4.0"`, wantParam("code_length")},
		{`"pin_expiry":300.5`, wantParam("pin_expiry")},
		{`"pin_expiry":6e2,"next_event_wait":120.0`, "200 0 "},
		{`"pin_expiry":1e999999999`, wantParam("pin_expiry")},
		{`"workflow_id":6.0`, "200 0 "},
		{`"workflow_id":6.5`, wantParam("workflow_id")},
		{`"workflow_id":60e-1`, "200 0 "},
		{`"workflow_id":-6.0`, wantParam("workflow_id")},
		{`"workflow_id":-0.0`, wantParam("workflow_id")},
		{`"workflow_id":"6.0"`, wantParam("workflow_id")},
		{`"workflow_id":-1`, wantParam("workflow_id")},
		{`"pin_code":1234`, "200 0 "},
		{`"country":"\ud800"`, wantParam("country")},
	} {
		body := strings.Replace(object(tt.more), `"447700900100"`, fmt.Sprint(447700900100+i), 1)
		a := send(t, s.URL(), request{path: "/verify/json", contentType: "application/json", body: body, anonymous: true})
		if got := a.summary(t, "json"); got != tt.want {
			t.Errorf("%s: got %s, want %s", body, got, tt.want)
		}
	}
}

// summary returns the code, status and text of a refusal, in the given format.
func (a answer) summary(t testing.TB, format string) string {
	t.Helper()
	var root node
	contentType := "application/json"
	if format == "xml" {
		contentType = "text/xml"
		if root = a.xml(t); root.name != "response" && root.name != "verify_response" {
			t.Errorf("the root is %s", root.name)
		}
	} else {
		root = a.json(t)
	}
	if got := a.header.Get("Content-Type"); got != contentType {
		t.Errorf("Content-Type %q, want %s", got, contentType)
	}
	fields := map[string]string{}
	for _, k := range root.kids {
		fields[k.name] = k.text
	}
	return fmt.Sprintf("%d %s %s", a.code, fields["status"], published(fields["error_text"]))
}

// TestWrongPaths checks that paths without an endpoint get a response in the format at
// their end.
func TestWrongPaths(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	const notFound = "404 3 Facility not allowed"
	for _, tt := range []struct{ method, path, format, want string }{
		{"POST", "/verify/", "json", notFound},
		{"POST", "/verify/yaml", "json", notFound},
		{"GET", "/verify/JSON", "json", notFound},
		{"GET", "/verify/json/", "json", notFound},
		{"GET", "/verify/xml/", "xml", notFound},
		{"POST", "/verify/check", "json", notFound},
		{"POST", "/verify/check/yaml", "json", notFound},
		{"POST", "/verify/psd2/xml", "xml", notFound},
		{"POST", "/verify/nothing/json", "json", notFound},
		{"POST", "/verify/nothing/xml", "xml", notFound},
		{"POST", "/verify/check/json/more", "json", notFound},
		{"POST", "/verify/check/a%2Fxml", "xml", notFound},
		{"POST", "/verify/%00", "json", notFound},
		{"POST", "/verify/%ff/xml", "xml", notFound},
		{"PUT", "/verify/json", "json", "405 3 Method not allowed: PUT"},
		{"DELETE", "/verify/check/xml", "xml", "405 3 Method not allowed: DELETE"},
		{"PATCH", "/verify/search/json", "json", "405 3 Method not allowed: PATCH"},
		{"OPTIONS", "/verify/control/xml", "xml", "405 3 Method not allowed: OPTIONS"},
		{"PUT", "/verify/psd2/json", "json", "405 3 Method not allowed: PUT"},
		{"POST'", "/verify/xml", "xml", "405 3 Method not allowed: POST'"},
		// A base URL with a trailing slash.
		{"POST", "//verify//json", "json", "200 2 " + textMissing + "number"},
		{"POST", "/verify//check/json", "json", "200 2 " + textMissing + "request_id"},
	} {
		a := send(t, s.URL(), request{method: tt.method, path: tt.path})
		if got := a.summary(t, tt.format); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.method, tt.path, got, tt.want)
		}
		if allow := a.header.Get("Allow"); (allow == "GET, POST") != (a.code == 405) {
			t.Errorf("%s %s: %d with Allow %q", tt.method, tt.path, a.code, allow)
		}
	}
	if a := send(t, s.URL(), request{method: http.MethodHead, path: "/verify/json"}); a.code != 405 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.code, a.body)
	}
}

// TestBrokenRequests sends malformed HTTP.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	db := open(t, s)
	before := countWritten(t, s, db)
	const chunked = "POST /verify/xml HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
	const sized = "POST /verify/json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	for name, tt := range map[string]struct {
		send string
		want int
		body string
	}{
		"chunk of no size":     {chunked + "zz\r\nabc\r\n", 200, textInvalid + "body"},
		"chunk of a huge size": {chunked + "fffffffffffffffff\r\nabc\r\n", 200, textInvalid + "body"},
		"chunk cut off":        {chunked + "ff\r\napi_key=demo0001", 200, textInvalid + "body"},
		"body cut off":         {sized + "{" + right, 200, textInvalid + "body"},
		"bad escape in a path": {"GET /verify/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, ""},
		"NUL in a path":        {"GET /verify/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, ""},
		"no host":              {"GET /verify/json HTTP/1.1\r\n\r\n", 400, ""},
		"negative length":      {"POST /verify/json HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400, ""},
		"a query of 100 kB":    {"GET /verify/json?" + many(12_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, ""},
		"not HTTP":             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
	} {
		code, body := raw(t, s, tt.send)
		if code != tt.want || !strings.Contains(body, tt.body) {
			t.Errorf("%s: got %d %q, want %d", name, code, body, tt.want)
		}
	}
	if after := countWritten(t, s, db); after != before {
		t.Errorf("written %+v, before %+v", after, before)
	}
	if got := call(t, s, "/verify/json", form("number", aNumber, "brand", "Acme")); got["status"] != "0" {
		t.Errorf("afterwards: %v", got)
	}
}

// raw writes bytes to the server, closes its side, and reads the response. It repeats a
// request with a lost response: the server closes connections with unread data.
func raw(t *testing.T, s *servertest.Server, text string) (code int, body string) {
	t.Helper()
	for try := 0; ; try++ {
		code, body, err := rawOnce(t, s, text)
		switch {
		case err == nil:
			return code, body
		case !errors.Is(err, syscall.ECONNRESET) || try == 10:
			t.Errorf("%.40q: %v", text, err)
			return 0, ""
		}
	}
}

func rawOnce(t *testing.T, s *servertest.Server, text string) (code int, body string, err error) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the server may close before reading all
	_ = conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestRefusedWritesNothing checks that refusals for any reason change no data.
func TestRefusedWritesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	id := startOn(t, s, aNumber, "pin_code", "1234")
	messagesOf(t, s, id, 1)
	db := open(t, s)
	before := countWritten(t, s, db)
	for status, ask := range map[string]request{
		"2":   {path: "/verify/json", params: form("number", "447700900101")},
		"3":   {path: "/verify/json", params: form("number", "447700900101", "brand", "Acme", "lg", "x")},
		"4":   {path: "/verify/json", params: form("api_key", "x", "api_secret", "x", "number", "447700900101", "brand", "Acme")},
		"6":   {path: "/verify/json", params: form("number", server.UnroutableNumber, "brand", "Acme")},
		"7":   {path: "/verify/json", params: form("number", server.BlockedNumber, "brand", "Acme")},
		"8":   {path: "/verify/json", params: as(server.BarredAccount, form("number", "447700900101", "brand", "Acme"))},
		"9":   {path: "/verify/json", params: as(server.BrokeAccount, form("number", "447700900101", "brand", "Acme"))},
		"10":  {path: "/verify/json", params: form("number", aNumber, "brand", "Acme")},
		"15":  {path: "/verify/json", params: form("number", server.UnsupportedNumber, "brand", "Acme")},
		"18":  {path: "/verify/search/json", params: form(strings.Fields(strings.Repeat("request_ids x ", 11))...)},
		"19":  {path: "/verify/control/json", params: form("request_id", id, "cmd", "cancel")},
		"20":  {path: "/verify/json", params: as(server.BrokeAccount, form("number", "447700900101", "brand", "Acme", "pin_code", "1234"))},
		"29":  {path: "/verify/json", params: as(server.TrialAccount, form("number", "447700900101", "brand", "Acme"))},
		"101": {path: "/verify/search/json", params: form("request_id", unknownID)},
	} {
		if got := send(t, s.URL(), ask).fields(t); got["status"] != status {
			t.Errorf("got %v, want status %s", got, status)
		}
	}
	if after := countWritten(t, s, db); after != before {
		t.Errorf("written %+v, before %+v", after, before)
	}
}
