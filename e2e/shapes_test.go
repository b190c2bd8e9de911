package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// shape is the form of an SDK's requests and its reading of answers, for SDKs that the tests cannot
// run. The requests follow the source and the recordings of each SDK.
type shape struct {
	sdk     string
	login   login
	calls   place          // parameters of start, check and control
	search  place          // parameters of search
	format  string         // "json" if ""
	always  map[string]any // parameters added to every start
	several bool           // repeats request_ids to search for several
	read    func(call string, a answer) (fields, error)
}

// place is the position of the parameters in a request, which determines its method.
type place int

const (
	inQuery    place = iota // of a GET
	inForm                  // the body of a POST
	inFormUTF8              // the same, with a charset in Content-Type
	inJSON                  // the body of a POST
)

// login is the form of the credentials in a request.
type login int

const (
	byParameters login = iota // api_key and api_secret as parameters
	byBasic                   // HTTP Basic authentication
)

// answer is an HTTP answer, with its complete body.
type answer struct {
	contentType string
	body        []byte
}

func shapes() []shape {
	// The PHP SDK sends every default with every request.
	defaultsOfPHP := map[string]any{
		"sender_id": "VONAGE", "code_length": 4, "pin_expiry": 300, "next_event_wait": 300, "workflow_id": 1,
	}
	return []shape{
		{sdk: "node 3.19", login: byParameters, calls: inJSON, search: inQuery, read: readNode},
		{sdk: "nexmo-node 2.2", login: byParameters, calls: inQuery, search: inQuery, several: true, read: readNode},
		{sdk: "python 2 and 3", login: byParameters, calls: inForm, search: inQuery, several: true, read: readPython},
		{sdk: "python 4", login: byParameters, calls: inForm, search: inQuery, read: readPython4},
		{sdk: "ruby", login: byBasic, calls: inForm, search: inQuery, several: true, read: readRuby},
		{sdk: "php", login: byBasic, calls: inJSON, search: inJSON, always: defaultsOfPHP, read: readPHP},
		{sdk: "java", login: byBasic, calls: inForm, search: inFormUTF8, several: true, read: readJava},
		{sdk: "java 2", login: byParameters, calls: inForm, search: inForm, several: true, format: "xml", read: readJava2},
		{sdk: "dotnet", login: byBasic, calls: inForm, search: inQuery, read: readDotnet},
		{sdk: "go", login: byParameters, calls: inForm, search: inQuery, read: readGo},
	}
}

// TestShapes verifies a number with the requests of each SDK.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := start(t, "--speed", "10")
	for _, sdk := range shapes() {
		t.Run(sdk.sdk, func(t *testing.T) {
			t.Parallel()
			sdk.test(t, s)
		})
	}
}

func (sh shape) test(t *testing.T, s *server) {
	t.Helper()
	number := s.newNumber()
	start := url.Values{"number": {number}, "brand": {"Acme & Söhne"}}
	started := sh.succeed(t, s, "start", start)
	id := started.text(t, "request_id")
	sms := s.await(t, number, 1)
	if !strings.Contains(sms.Text, "Acme & Söhne") {
		t.Errorf("got %q, want the brand in it", sms.Text)
	}
	one := url.Values{"request_id": {id}}
	sh.succeed(t, s, "search", one).want(t, "request_id", id, "number", number, "status", "IN PROGRESS", "date_finalized", "")

	sh.fail(t, s, "16", "check", url.Values{"request_id": {id}, "code": {wrong(sms.pin(t))}})
	sh.fail(t, s, "10", "start", start)
	sh.fail(t, s, "19", "control", url.Values{"request_id": {id}, "cmd": {"cancel"}})
	sh.succeed(t, s, "control", url.Values{"request_id": {id}, "cmd": {"trigger_next_event"}}).
		want(t, "command", "trigger_next_event")
	call := s.await(t, number, 2)

	checked := sh.succeed(t, s, "check", url.Values{"request_id": {id}, "code": {call.pin(t)}})
	checked.want(t, "request_id", id, "price", "0.12050000", "currency", "USD")
	checked.text(t, "event_id")
	sh.succeed(t, s, "search", one).want(t, "request_id", id, "status", "SUCCESS")
	sh.fail(t, s, "6", "check", url.Values{"request_id": {id}, "code": {call.pin(t)}})
	sh.fail(t, s, "101", "search", url.Values{"request_id": {strings.Repeat("0", 32)}})

	if sh.several {
		other := s.newNumber()
		second := sh.succeed(t, s, "start", url.Values{"number": {other}, "brand": {"Acme"}}).text(t, "request_id")
		found := sh.succeed(t, s, "search", url.Values{"request_ids": {id, second}}).list(t, "verification_requests")
		if len(found) != 2 {
			t.Fatalf("got %v, want both verifications", found)
		}
		found[0].want(t, "request_id", id, "status", "SUCCESS")
		found[1].want(t, "request_id", second, "status", "IN PROGRESS")
	}
}

// refusal is the error that an SDK returns for an answer.
type refusal struct{ status, text string }

func (r *refusal) Error() string { return fmt.Sprintf("status %s: %s", r.status, r.text) }

func (sh shape) succeed(t *testing.T, s *server, call string, params url.Values) fields {
	t.Helper()
	a := sh.send(t, s, call, params)
	result, err := sh.read(call, a)
	if err != nil {
		t.Fatalf("%s: the SDK returns an error: %v\n%s", call, err, a.body)
	}
	return result
}

func (sh shape) fail(t *testing.T, s *server, status, call string, params url.Values) {
	t.Helper()
	a := sh.send(t, s, call, params)
	_, err := sh.read(call, a)
	var refused *refusal
	switch {
	case err == nil:
		t.Errorf("%s: the SDK returns a success, want status %s\n%s", call, status, a.body)
	case !errors.As(err, &refused):
		t.Errorf("%s: the SDK cannot read the refusal: %v\n%s", call, err, a.body)
	case refused.status != status:
		t.Errorf("%s: got %v, want status %s", call, refused, status)
	case refused.text == "":
		t.Errorf("%s: no error_text in %s", call, a.body)
	}
}

// send makes a request like the SDK.
func (sh shape) send(t *testing.T, s *server, call string, params url.Values) answer {
	t.Helper()
	header, body := s.send(t, sh.request(t, s.url, call, params))
	contentType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("%s: Content-Type: %v", call, err)
	}
	return answer{contentType, body}
}

func (sh shape) request(t *testing.T, server, call string, params url.Values) *http.Request {
	t.Helper()
	path, where := "/verify/"+call, sh.calls
	switch call {
	case "start":
		path = "/verify"
	case "search":
		where = sh.search
	}
	format := sh.format
	if format == "" {
		format = "json"
	}

	params = maps.Clone(params)
	object := make(map[string]any) // body of inJSON, with numbers as numbers
	for name, values := range params {
		object[name] = values[0]
	}
	if call == "start" {
		for name, value := range sh.always {
			params.Set(name, fmt.Sprint(value))
			object[name] = value
		}
	}
	if sh.login == byParameters {
		params.Set("api_key", apiKey)
		params.Set("api_secret", apiSecret)
		object["api_key"], object["api_secret"] = apiKey, apiSecret
	}

	method, query, contentType, body := http.MethodPost, "", "", ""
	switch where {
	case inQuery:
		method, query = http.MethodGet, params.Encode()
		contentType = "application/x-www-form-urlencoded" // sent by the oldest Node SDK without a body
	case inForm:
		contentType, body = "application/x-www-form-urlencoded", params.Encode()
	case inFormUTF8:
		contentType, body = "application/x-www-form-urlencoded; charset=UTF-8", params.Encode()
	case inJSON:
		encoded, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		contentType, body = "application/json", string(encoded)
	}

	req, err := http.NewRequestWithContext(t.Context(), method, server+path+"/"+format, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.RawQuery = query
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if sh.login == byBasic {
		req.SetBasicAuth(apiKey, apiSecret)
	}
	return req
}
