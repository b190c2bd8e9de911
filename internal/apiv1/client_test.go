package apiv1_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/await"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// Texts that clients match, from the published documents and recordings (spec §4).
const (
	textThrottled   = "Throttled"
	textMissing     = "Your request is incomplete and missing the mandatory parameter: "
	textInvalid     = "Invalid value for param: "
	textInternal    = "Internal Error"
	textUnable      = "The Nexmo platform was unable to process this message for the following reason: "
	textBlocked     = "The number you are trying to verify is blacklisted for verification"
	textBarred      = "The api_key you supplied is for an account that has been barred from submitting messages."
	textNoCredit    = "Partner quota exceeded"
	textConcurrent  = "Concurrent verifications to the same number are not allowed"
	textUnsupported = "The destination number is not in a supported network"
	textWrongCode   = "The code inserted does not match the expected value"
	textTerminated  = "The wrong code was provided too many times. Request terminated"
	textTooManyIDs  = "Too many request_ids provided"
	textNoPINCode   = "This account does not support the parameter: pin_code."
	textTrial       = "Your Nexmo account is still in demo mode. While in demo mode you must add target numbers to the approved list for your account. Add funds to your account to remove this limitation."
	textNoResponse  = "No response found"
)

// published returns an error text without the reason after the published text.
func published(text string) string {
	words, _, reason := strings.Cut(text, " (")
	if reason && strings.HasPrefix(text, textInvalid) && strings.HasSuffix(text, ")") {
		return words
	}
	return text
}

const unknownID = "00000000000000000000000000000000"

// request is an HTTP request. Params are sent in the query of a GET and in the form of a
// POST, unless body is set.
type request struct {
	method      string // POST if ""
	path        string
	params      url.Values
	query       string // raw query of a POST
	contentType string
	body        string // raw; replaces the form
	user, pass  string // Basic authentication
	anonymous   bool   // do not add the demo's credentials
}

// answer is a response.
type answer struct {
	code   int
	header http.Header
	body   string
}

// send makes a request, as the demo account unless it has other credentials.
func send(t testing.TB, base string, r request) answer {
	t.Helper()
	if !r.anonymous && r.user == "" && !r.params.Has("api_key") {
		params := url.Values{"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret}}
		for name, values := range r.params {
			params[name] = values
		}
		r.params = params
	}
	req, err := r.build(base)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (r request) build(base string) (*http.Request, error) {
	if r.method == "" {
		r.method = http.MethodPost
	}
	query, body, contentType := r.query, r.body, r.contentType
	switch {
	case r.method != http.MethodPost || body != "":
		query = strings.Trim(query+"&"+r.params.Encode(), "&")
	default:
		body, contentType = r.params.Encode(), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequest(r.method, base+r.path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if r.user != "" {
		req.SetBasicAuth(r.user, r.pass)
	}
	return req, nil
}

// call posts a form, as the demo account unless params have other credentials, and
// returns the fields of the response.
func call(t testing.TB, s *servertest.Server, path string, params url.Values) map[string]string {
	t.Helper()
	a := send(t, s.URL(), request{path: path, params: params})
	if a.code != http.StatusOK {
		t.Fatalf("%s answered %d %s", path, a.code, a.body)
	}
	return a.fields(t)
}

// form returns parameters from name, value, name, value.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// startOn starts a verification with further parameters and returns its id.
func startOn(t testing.TB, s *servertest.Server, number string, pairs ...string) (id string) {
	t.Helper()
	params := form(pairs...)
	params.Set("number", number)
	if !params.Has("brand") {
		params.Set("brand", "Acme")
	}
	got := call(t, s, "/verify/json", params)
	if got["status"] != "0" {
		t.Fatalf("start %v: %v", params, got)
	}
	return got["request_id"]
}

func checkCode(t testing.TB, s *servertest.Server, id, code string) map[string]string {
	t.Helper()
	return call(t, s, "/verify/check/json", form("request_id", id, "code", code))
}

func search(t testing.TB, s *servertest.Server, id string) map[string]string {
	t.Helper()
	return call(t, s, "/verify/search/json", form("request_id", id))
}

func control(t testing.TB, s *servertest.Server, id, cmd string) map[string]string {
	t.Helper()
	return call(t, s, "/verify/control/json", form("request_id", id, "cmd", cmd))
}

// messagesOf waits for the nth message of a verification and for its recorded outcome.
// Advance the clock only afterwards.
func messagesOf(t testing.TB, s *servertest.Server, id string, n int) []servertest.Message {
	t.Helper()
	return s.WaitMessages(waitSettled(t, s, id, n).To.Given, n)
}

// waitSettled waits until the outcome of a verification's nth event is recorded.
func waitSettled(t testing.TB, s *servertest.Server, id string, n int) verify.Verification {
	t.Helper()
	parsed, ok := verify.ParseID(id)
	if !ok {
		t.Fatalf("%q is not a request id", id)
	}
	var v verify.Verification
	await.Until(t, fmt.Sprintf("known: the outcome of event %d", n), func() bool {
		var found bool
		var err error
		v, found, err = s.Store().Verification(t.Context(), parsed)
		if err != nil || !found || v.Account != server.DemoAccount {
			t.Fatalf("verification %s: %v, %v", id, found, err)
		}
		return len(v.Events) >= n && len(v.Open()) == 0
	})
	return v
}

// node is a part of a response, in a form common to JSON and XML: a scalar has text, an
// object or list has kids.
type node struct {
	name   string
	text   string
	kids   []node
	branch bool
}

// fields returns the top-level scalars of a JSON response.
func (a answer) fields(t testing.TB) map[string]string {
	t.Helper()
	root := a.json(t)
	m := make(map[string]string, len(root.kids))
	for _, k := range root.kids {
		if !k.branch {
			m[k.name] = k.text
		}
	}
	return m
}

// json parses the body as JSON with text scalars only.
func (a answer) json(t testing.TB) node {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(a.body))
	root, err := readJSON(dec, "")
	if err != nil || dec.More() {
		t.Fatalf("not a JSON response (%v): %d %s", err, a.code, a.body)
	}
	return root
}

// itemNames returns the XML names of list items.
func itemNames() map[string]string {
	return map[string]string{"checks": "check", "events": "event", "verification_requests": "verify_request"}
}

func readJSON(dec *json.Decoder, name string) (node, error) {
	token, err := dec.Token()
	if err != nil {
		return node{}, err
	}
	n := node{name: name, branch: true}
	switch v := token.(type) {
	case string:
		return node{name: name, text: v}, nil
	case json.Delim:
		for dec.More() {
			kidName := itemNames()[name]
			if v == '{' {
				key, err := dec.Token()
				if err != nil {
					return n, err
				}
				kidName = key.(string)
			}
			kid, err := readJSON(dec, kidName)
			if err != nil {
				return n, err
			}
			n.kids = append(n.kids, kid)
		}
		_, err = dec.Token()
		return n, err
	}
	return n, fmt.Errorf("%s is %v, which is not text", name, token)
}

// xml parses the body as XML without attributes.
func (a answer) xml(t testing.TB) node {
	t.Helper()
	const header = `<?xml version="1.0" encoding="UTF-8"?>`
	body, ok := strings.CutPrefix(a.body, header)
	if !ok {
		t.Fatalf("%s does not begin with %s", a.body, header)
	}
	dec := xml.NewDecoder(strings.NewReader(body))
	token, err := dec.Token()
	start, ok := token.(xml.StartElement)
	if err != nil || !ok {
		t.Fatalf("not an XML response (%v): %d %s", err, a.code, a.body)
	}
	root, err := readXML(dec, start)
	if err != nil {
		t.Fatalf("not an XML response (%v): %d %s", err, a.code, a.body)
	}
	if rest := body[dec.InputOffset():]; rest != "" {
		t.Fatalf("%q follows the XML", rest)
	}
	return root
}

func readXML(dec *xml.Decoder, start xml.StartElement) (node, error) {
	n := node{name: start.Name.Local, branch: itemNames()[start.Name.Local] != ""}
	if len(start.Attr) > 0 {
		return n, fmt.Errorf("%s has attributes", n.name)
	}
	var text bytes.Buffer
	for {
		token, err := dec.Token()
		if err != nil {
			return n, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			kid, err := readXML(dec, token)
			if err != nil {
				return n, err
			}
			n.branch = true
			n.kids = append(n.kids, kid)
		case xml.CharData:
			text.Write(token)
		case xml.EndElement:
			n.text = text.String()
			if n.branch && n.text != "" {
				return n, fmt.Errorf("text %q between the elements of %s", n.text, n.name)
			}
			return n, nil
		}
	}
}

// lines returns a line with path and value for every scalar, in order.
func (n node) lines(path string) string {
	if !n.branch {
		return path + " = " + n.text + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%d)\n", path, len(n.kids))
	for _, kid := range n.kids {
		b.WriteString(kid.lines(path + "/" + kid.name))
	}
	return b.String()
}

// names returns the names of the children, in order.
func (n node) names() string {
	var names []string
	for _, kid := range n.kids {
		names = append(names, kid.name)
	}
	return strings.Join(names, " ")
}
