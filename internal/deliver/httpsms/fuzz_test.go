package httpsms

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"countersign/internal/deliver"
	"countersign/internal/deliver/placeholder"
	"countersign/internal/verify"
)

// FuzzCondition: a valid condition can be parsed again from its text, and its verdict is
// deterministic.
func FuzzCondition(f *testing.F) {
	for _, line := range []string{
		"http 200-299", "http 200,201-204", "json a.0.b == 0", `json a != "x\"y"`, `json *.*.s in 1,"2,3", 4`,
		`body contains "OK"`, "body contains OK", "json a ==", "http", `json a in ,`,
	} {
		f.Add(line, 200, []byte(`{"a":[{"b":0,"s":"1"}]}`))
	}
	f.Fuzz(func(t *testing.T, line string, status int, body []byte) {
		c, err := parseCondition(line)
		if err != nil {
			return
		}
		again, err := parseCondition(c.text)
		if err != nil {
			t.Fatalf("%q is valid, but %q is not: %v", line, c.text, err)
		}
		a := answer{status: status, body: body}
		a.doc, err = decodeJSON(body)
		a.isJSON = err == nil
		v := c.holds(a)
		if v < no || v > yes || v != again.holds(a) {
			t.Errorf("%q: %v, then %v", line, v, again.holds(a))
		}
		if strings.HasPrefix(c.text, "json") && !a.isJSON && v != unclear {
			t.Errorf("%q without JSON: %v", line, v)
		}
	})
}

// FuzzPath: a path without "*" finds exactly one leaf.
func FuzzPath(f *testing.F) {
	f.Add("messages.0.message-id", []byte(`{"messages":[{"message-id":"1"}]}`))
	f.Add("*.*", []byte(`[[1,2],[]]`))
	f.Add("-1", []byte(`[1]`))
	f.Add("99999999999999999999", []byte(`[1]`))
	f.Fuzz(func(t *testing.T, s string, data []byte) {
		p, err := parsePath(s)
		if err != nil {
			return
		}
		doc, err := decodeJSON(data)
		if err != nil {
			return
		}
		n := len(p.find(doc))
		if n == 0 || n > 1 && !slices.Contains(p, anyElement) {
			t.Errorf("%q finds %d values in %s", s, n, data)
		}
	})
}

// FuzzTemplate: for every message, the gateway receives exactly its values.
func FuzzTemplate(f *testing.F) {
	f.Add("Acme", "Your code: 4711")
	f.Add(`"},{"`, "\x00\x1f</a>&b=c\u2028")
	newTemplate := func(e placeholder.Escape, s string) placeholder.Text {
		t, err := placeholder.Parse(s, func(string) placeholder.Escape { return e })
		if err != nil {
			f.Fatal(err)
		}
		return t
	}
	object := newTemplate(asJSON, `{"from":"{{.From}}","text":"{{.Text}}"}`)
	form := newTemplate(asQuery, `from={{.From}}&text={{.Text}}`)
	line := newTemplate(asHeader, `{{.From}}, {{.Text}}`)
	f.Fuzz(func(t *testing.T, from, text string) {
		v := placeholder.Values{"From": from, "Text": text}
		if s, err := line.Render(v); err == nil && (strings.ContainsAny(s, "\r\n\x00") || s != from+", "+text) {
			t.Errorf("header %q", s)
		}
		s, err := form.Render(v)
		if err != nil {
			t.Fatal(err)
		}
		if texts, err := textsOfForm(s); err != nil || len(texts) != 2 || !slices.Contains(texts, from) || !slices.Contains(texts, text) {
			t.Errorf("form %q is parsed as %q, %v", s, texts, err)
		}
		if s, err = object.Render(v); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(s), &got); err != nil || len(got) != 2 {
			t.Fatalf("JSON %q is parsed as %q, %v", s, got, err)
		}
		if utf8.ValidString(from) && utf8.ValidString(text) && (got["from"] != from || got["text"] != text) {
			t.Errorf("JSON %q is parsed as %q", s, got)
		}
	})
}

// FuzzReceipt: every callback is answered, and its reports can be stored.
func FuzzReceipt(f *testing.F) {
	const secret = "callback-secret-0123"
	var got []deliver.Receipt
	g, err := New(Config{
		Name: "gate", URL: "https://gateway.example/",
		Receipts: ReceiptConfig{Secret: secret, Ref: "data.id", Status: "status", Error: "code"},
		Reports: deliver.Reports{
			Answer: func(context.Context, deliver.Answer) error { return nil },
			Receipt: func(_ context.Context, r deliver.Receipt) error {
				got = append(got, r)
				return nil
			},
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("POST", "application/json", "", `[{"data":{"id":1},"status":"failed","code":[]}]`)
	f.Add("POST", "application/x-www-form-urlencoded", "x=1", "data.id=1&status=sent&code=%ff")
	f.Add("GET", "", "data.id=1&status=delivered", "")
	f.Fuzz(func(t *testing.T, method, contentType, query, body string) {
		if method != http.MethodGet && method != http.MethodPost {
			method = http.MethodPost
		}
		got = nil
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		g.ReceiptHandler().ServeHTTP(w, r)
		if !slices.Contains([]int{204, 400, 413}, w.Code) {
			t.Errorf("HTTP %d", w.Code)
		}
		for _, r := range got {
			if r.Ref == "" || len(r.Ref) > 256 || len(r.Error) > maxErrorCode || !utf8.ValidString(r.Ref) || !utf8.ValidString(r.Error) || r.State == "" || r.State == verify.EventUnknown {
				t.Errorf("receipt %+v", r)
			}
		}
	})
}
