package adminapi_test

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"countersign/internal/adminapi"
	"countersign/internal/verify"
)

// document is the description of the API.
type document struct{ *openapi3.T }

func loadDocument(t *testing.T) document {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return document{doc}
}

// TestDocumentRoutes checks that the document describes exactly the served operations.
func TestDocumentRoutes(t *testing.T) {
	t.Parallel()
	doc := loadDocument(t)
	var described, served []adminapi.Route
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, adminapi.Route{Method: method, Path: path})
		}
	}
	for _, r := range adminapi.New(adminapi.Config{}).Routes() {
		served = append(served, r)
		if !slices.Contains(described, r) {
			t.Errorf("the document lacks %s %s", r.Method, r.Path)
		}
	}
	for _, d := range described {
		if !slices.Contains(served, d) {
			t.Errorf("%s %s is not served", d.Method, d.Path)
		}
	}
}

// TestDocumentChannels checks that a price can be set for each priced channel, or for all.
func TestDocumentChannels(t *testing.T) {
	t.Parallel()
	want := []any{""}
	for _, c := range verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Priced }) {
		want = append(want, string(c))
	}
	body := loadDocument(t).operation(t, http.MethodPost, "/admin/v1/prices").RequestBody.Value
	channel := body.Content.Get("application/json").Schema.Value.Properties["channel"].Value
	if !reflect.DeepEqual(channel.Enum, want) {
		t.Errorf("the document has %q, want %q", channel.Enum, want)
	}
}

// operation returns the description of a request.
func (d document) operation(t *testing.T, method, path string) *openapi3.Operation {
	t.Helper()
	if item := d.Paths.Value(path); item != nil && item.GetOperation(method) != nil {
		return item.GetOperation(method)
	}
	variable := regexp.MustCompile(`\\\{[^}]*\\\}`)
	for pattern, item := range d.Paths.Map() {
		if regexp.MustCompile("^"+variable.ReplaceAllString(regexp.QuoteMeta(pattern), "[^/]+")+"$").MatchString(path) && item.GetOperation(method) != nil {
			return item.GetOperation(method)
		}
	}
	return nil
}

// check validates a request body and its response against the document.
func (d document) check(t *testing.T, req *http.Request, sent []byte, resp *http.Response, body []byte) {
	t.Helper()
	op := d.operation(t, req.Method, req.URL.EscapedPath())
	if op == nil {
		if resp.StatusCode < http.StatusBadRequest {
			t.Errorf("%s %s is not in the document, but returns %d", req.Method, req.URL.Path, resp.StatusCode)
		}
		return
	}
	said := op.Responses.Value(strconv.Itoa(resp.StatusCode))
	if said == nil {
		if resp.StatusCode < http.StatusBadRequest {
			t.Errorf("%s must not return %d", op.OperationID, resp.StatusCode)
		}
		said = op.Responses.Value("default")
	} else if op.RequestBody != nil && (op.RequestBody.Value.Required || len(sent) > 0) {
		d.visit(t, op.OperationID+" takes", op.RequestBody.Value.Content, req.Header.Get("Content-Type"), sent)
	}
	if len(said.Value.Content) == 0 {
		if len(body) > 0 {
			t.Errorf("%s returns %q, want an empty body", op.OperationID, body)
		}
		return
	}
	d.visit(t, op.OperationID+" answers", said.Value.Content, resp.Header.Get("Content-Type"), body)
}

func (d document) visit(t *testing.T, what string, content openapi3.Content, contentType string, body []byte) {
	t.Helper()
	kind, _, err := mime.ParseMediaType(contentType)
	media := content[kind]
	if err != nil || media == nil {
		t.Errorf("%s %q", what, contentType)
		return
	}
	if !strings.HasSuffix(kind, "json") {
		return
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Errorf("%s %q: %v", what, body, err)
		return
	}
	if err := media.Schema.Value.VisitJSON(value, openapi3.MultiErrors()); err != nil {
		t.Errorf("%s %s: %v", what, body, err)
	}
}

// checked forwards requests and validates the responses against the document.
type checked struct {
	t    *testing.T
	doc  document
	next http.RoundTripper
}

func (c checked) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		sent, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(strings.NewReader(string(sent)))
	}
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	c.doc.check(c.t, req, sent, resp, body)
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, nil
}
