package httpsms_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
)

func TestNewNamesTheSettingThatIsWrong(t *testing.T) {
	t.Parallel()
	const form, xmlType, text = "application/x-www-form-urlencoded", "text/xml; charset=UTF-8", "text/plain"
	body := func(contentType, body string) func(*httpsms.Config) {
		return func(c *httpsms.Config) {
			c.Body = body
			c.Headers = []string{"Content-Type: " + contentType}
		}
	}
	url := func(s string) func(*httpsms.Config) { return func(c *httpsms.Config) { c.URL = s } }
	headers := func(lines ...string) func(*httpsms.Config) {
		return func(c *httpsms.Config) { c.Headers = append(c.Headers, lines...) }
	}
	success := func(line string) func(*httpsms.Config) {
		return func(c *httpsms.Config) { c.Success = []string{"http 200", line} }
	}
	receipts := func(alter func(*httpsms.ReceiptConfig)) func(*httpsms.Config) {
		return func(c *httpsms.Config) {
			c.Receipts = httpsms.ReceiptConfig{Secret: secret, Ref: "id", Status: "status"}
			alter(&c.Receipts)
		}
	}
	tests := []struct {
		name  string
		alter func(*httpsms.Config)
		want  string // part of the error; "" for success
	}{
		{"Valid", func(*httpsms.Config) {}, ""},
		{"NoURL", url(""), "url:"},
		{"Scheme", url("ftp://gateway.example/"), "url:"},
		{"NoHost", url("https:///path"), "url: has no host"},
		{"UserInURL", url("https://key:pass@gateway.example/"), "basic_user"},
		{"PlaceholderInHost", url("https://{{.From}}.example/"), "url: has a placeholder in its host"},
		{"PlaceholderInPort", url("https://gateway.example:{{.To}}/"), "url: has a placeholder in its host"},
		{"Fragment", url("https://gateway.example/#{{.To}}"), "url: has a fragment"},
		{"BadPort", url("https://gateway.example:x/"), "url: is not a URL"},
		{"BadQuery", url("https://gateway.example/?a=%zz"), "url: has a query"},
		{"SpaceInURL", url("https://gateway.example/?a=b c"), "url: has a space"},
		{"PlusInQuery", url("https://gateway.example/?to=+{{.To}}"), "%2B"},
		{"UnknownPlaceholder", url("https://gateway.example/?to={{.Too}}"), ".ValidSeconds"},
		{"OpenPlaceholder", url("https://gateway.example/?to={{.To"), "not closed"},
		{"PlaceholdersInURL", url("https://gateway.example/{{.From}}/x?to=%2B{{.To}}&text={{ .Text }}"), ""},

		{"Method", func(c *httpsms.Config) { c.Method = "DELETE" }, "method:"},
		{"BodyOfGET", func(c *httpsms.Config) { c.Method = "GET" }, "body: not allowed with GET"},
		{"HeaderWithoutColon", headers("X-Key secret"), "headers[1]:"},
		{"HeaderName", headers("X Key: secret"), "headers[1]:"},
		{"HeaderLineBreak", headers("X-Key: a\r\nb"), "headers[1]:"},
		{"HeaderTwice", headers("content-type: application/json"), "headers[1]: Content-Type"},
		{"HeaderOfTransport", headers("transfer-encoding: chunked"), "headers[1]: Transfer-Encoding"},
		{"HeaderPlaceholder", headers("X-Key: {{.Key}}"), "headers[1]: X-Key: unknown placeholder"},
		{"TwoAuthorizations", func(c *httpsms.Config) {
			c.BasicUser = "user"
			c.Headers = append(c.Headers, "Authorization: Bearer x")
		}, "Authorization"},

		{"NoContentType", func(c *httpsms.Config) { c.Headers = nil }, "body: headers lack a Content-Type"},
		{"ContentTypePlaceholder", body("{{.From}}", "x"), "body: the Content-Type"},
		{"ContentTypeUnknown", body("multipart/form-data; boundary=x", "x"), "body: Content-Type multipart/form-data"},
		{"Charset", body("text/plain; charset=latin1", "x"), "charset latin1"},
		{"JSONUnquoted", body("application/json", `{"text":{{.Text}}}`), "body: is not valid JSON"},
		{"JSONUnquotedID", body("application/json", `{"id":{{.EventID}}}`), "body: is not valid JSON"},
		{"JSONBroken", body("application/vnd.x+json", `{"text":"{{.Text}}"`), "body: is not valid JSON"},
		{"JSONTwice", body("application/json", `"{{.Text}}" "{{.To}}"`), "body: is not valid JSON"},
		{"JSONInName", body("application/json", `{"{{.Text}}":1}`), "{{.Text}} is in a place where"},
		{"JSONNumber", body("application/json", `{"to":{{.To}},"ttl":{{.ValidSeconds}}000}`), ""},
		{"FormSpaces", body(form, "to={{.To}} &text={{.Text}}"), "body: has a space"},
		{"FormPlus", body(form, "to=+{{.To}}"), "%2B"},
		{"FormPercent", body(form, "to={{.To}}&x=%"), "body: is not valid form"},
		{"FormName", body(form, "{{.Text}}=1"), "{{.Text}} is in a place where"},
		{"XMLOpen", body(xmlType, "<sms>{{.Text}}"), "body: is not valid XML"},
		{"XMLName", body(xmlType, "<{{.From}}/>"), "body: is not valid XML"},
		{"XMLCDATA", body(xmlType, "<sms><![CDATA[{{.Text}}]]></sms>"), "{{.Text}} is in a place where"},
		{"XMLComment", body(xmlType, "<sms><!-- {{.Text}} --></sms>"), "{{.Text}} is in a place where"},
		{"XML", body(xmlType, `<sms to='{{.To}}' from="{{.From}}">{{.Text}}</sms>`), ""},
		{"Text", body(text, "{{.To}}\n{{.Text}}"), ""},

		{"SuccessWord", success("status == 200"), `success[1]: "status == 200"`},
		{"SuccessEmpty", success(""), "success[1]:"},
		{"SuccessStatus", success("http 2xx"), `"2xx"`},
		{"SuccessStatusRange", success("http 299-200"), `"299-200"`},
		{"SuccessPath", success("json a..b == 1"), "empty segment"},
		{"SuccessNoPath", success("json == 1"), `success[1]: "json == 1"`},
		{"SuccessNoOperator", success("json a"), "success[1]:"},
		{"SuccessOperator", success("json a = 1"), `unknown operator "="`},
		{"SuccessNoValue", success("json a == "), "success[1]:"},
		{"SuccessOpenQuote", success(`json a == "x`), "quoted value"},
		{"SuccessAfterQuote", success(`json a == "x" y`), `"y" after the value`},
		{"SuccessListComma", success(`json a in "x" "y"`), "comma"},
		{"SuccessListEmptyItem", success(`json a in x,,y`), "missing"},
		{"SuccessQuoteInside", success(`json a == x"y`), "quote"},
		{"SuccessBody", success(`body has x`), "contains"},
		{"SuccessBodyAnything", success(`body contains ""`), "empty text"},
		{"Temporary", func(c *httpsms.Config) { c.Temporary = []string{"http"} }, "temporary[0]:"},
		{"LongPath", func(c *httpsms.Config) { c.Ref = strings.Repeat("a.", 16) + "a" }, "ref: path has more than"},

		{"Timeout", func(c *httpsms.Config) { c.Timeout = -1 }, "timeout:"},
		{"LongTimeout", func(c *httpsms.Config) { c.Timeout = time.Hour }, "timeout:"},
		{"Concurrency", func(c *httpsms.Config) { c.Concurrency = -1 }, "concurrency:"},
		{"Rate", func(c *httpsms.Config) { c.Rate = math.NaN() }, "rate:"},
		{"NoReports", func(c *httpsms.Config) { c.Reports = deliver.Reports{} }, "reports"},

		{"Receipts", receipts(func(*httpsms.ReceiptConfig) {}), ""},
		{"ReceiptSecret", receipts(func(r *httpsms.ReceiptConfig) { r.Secret = "short" }), "receipts.secret: shorter"},
		{"ReceiptRef", receipts(func(r *httpsms.ReceiptConfig) { r.Ref = "" }), "receipts.ref:"},
		{"ReceiptStatus", receipts(func(r *httpsms.ReceiptConfig) { r.Status = "" }), "receipts.status:"},
		{"ReceiptError", receipts(func(r *httpsms.ReceiptConfig) { r.Error = "a." }), "receipts.error:"},
		{"ReceiptList", receipts(func(r *httpsms.ReceiptConfig) { r.Status = "list.*.status" }), "receipts.status: \"list.*.status\" has a \"*\""},
		{"ReceiptOtherList", receipts(func(r *httpsms.ReceiptConfig) { r.Ref, r.Error = "list.*.id", "errors.*.code" }), "receipts.error:"},
		{"ReceiptDeeperList", receipts(func(r *httpsms.ReceiptConfig) { r.Ref, r.Status = "list.*.id", "list.*.states.*.word" }), "receipts.status:"},
		{"ReceiptState", receipts(func(r *httpsms.ReceiptConfig) { r.States = []string{"a=accepted", "b=refused"} }), `receipts.states[1]: unknown state "refused"`},
		{"ReceiptWord", receipts(func(r *httpsms.ReceiptConfig) { r.States = []string{"=accepted"} }), "receipts.states[0]:"},
		{"ReceiptNoState", receipts(func(r *httpsms.ReceiptConfig) { r.States = []string{"a="} }), "receipts.states[0]:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig("https://gateway.example/")
			tt.alter(&c)
			g, err := httpsms.New(c)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				g.Close(t.Context())
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "httpsms gate: ") {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if s := err.Error(); strings.Contains(s, "secret\"") || strings.Contains(s, "pass@") {
				t.Errorf("error contains a secret: %v", err)
			}
		})
	}
}

// TestEscaping sends values that break templates without escaping. The gateway must
// receive them unchanged.
func TestEscaping(t *testing.T) {
	t.Parallel()
	m := sms()
	m.From = `A"b\c'd&e=f<g>%41+#?/;`
	m.Text = "\"}, {\"to\": \"1\r\n\t</sms>]]>&to=1%00+{{.From}} é ☎ 😀 \u2028"
	tests := []struct {
		name  string
		alter func(*httpsms.Config)
		read  func(*testing.T, *http.Request) (to, from, text string)
	}{
		{"JSON", func(*httpsms.Config) {}, func(t *testing.T, r *http.Request) (string, string, string) {
			var got struct{ To, From, Text string }
			decoder := json.NewDecoder(r.Body)
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&got); err != nil {
				t.Error(err)
			}
			return got.To, got.From, got.Text
		}},
		{"Form", func(c *httpsms.Config) {
			c.Headers = []string{"Content-Type: application/x-www-form-urlencoded; charset=utf-8"}
			c.Body = "to=%2B{{.To}}&from={{.From}}&text={{.Text}}"
		}, func(t *testing.T, r *http.Request) (string, string, string) {
			if err := r.ParseForm(); err != nil || len(r.PostForm) != 3 {
				t.Errorf("form %v, %v", r.PostForm, err)
			}
			return strings.TrimPrefix(r.PostForm.Get("to"), "+"), r.PostForm.Get("from"), r.PostForm.Get("text")
		}},
		{"XML", func(c *httpsms.Config) {
			c.Headers = []string{"Content-Type: application/xml"}
			c.Body = `<sms to="{{.To}}" from='{{.From}}'>{{.Text}}</sms>`
		}, func(t *testing.T, r *http.Request) (string, string, string) {
			var got struct {
				To   string `xml:"to,attr"`
				From string `xml:"from,attr"`
				Text string `xml:",chardata"`
			}
			if err := xml.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			return got.To, got.From, got.Text
		}},
		{"Text", func(c *httpsms.Config) {
			c.URL += "/?from={{.From}}"
			c.Headers = []string{"Content-Type: text/plain", "X-To: {{.To}}"}
			c.Body = "{{.Text}}"
		}, func(_ *testing.T, r *http.Request) (string, string, string) {
			body, _ := io.ReadAll(r.Body)
			return r.Header.Get("X-To"), r.URL.Query().Get("from"), string(body)
		}},
		{"URL", func(c *httpsms.Config) {
			c.URL += "/from/{{.From}}/to/{{.To}}?text={{.Text}}&to={{.To}}"
			c.Method, c.Headers, c.Body = http.MethodGet, nil, ""
		}, func(t *testing.T, r *http.Request) (string, string, string) {
			parts := strings.Split(r.URL.EscapedPath(), "/")
			query := r.URL.Query()
			if len(parts) != 5 || len(query) != 2 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
				t.Errorf("path %q, query %v, %d bytes", parts, query, r.ContentLength)
				return "", "", ""
			}
			from, err := url.PathUnescape(parts[2])
			if err != nil {
				t.Error(err)
			}
			return query.Get("to"), from, query.Get("text")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig(serve(t, func(_ http.ResponseWriter, r *http.Request) {
				to, from, text := tt.read(t, r)
				if to != m.To.Given || from != m.From || text != m.Text {
					t.Errorf("the gateway received %q, %q, %q", to, from, text)
				}
			}))
			tt.alter(&c)
			if _, err := open(t, c).Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	c := jsonConfig(serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	c.BasicUser, c.BasicPassword = "user", "pass:word"
	c.Headers = append(c.Headers, "idempotency-key: {{.EventID}}", "X-Request:{{.RequestID}}/{{.Attempt}}")
	m := sms()
	if _, err := open(t, c).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	h := <-got
	user, password, _ := (&http.Request{Header: h}).BasicAuth()
	if user != "user" || password != "pass:word" {
		t.Errorf("basic authentication %q, %q", user, password)
	}
	for name, want := range map[string]string{
		"Content-Type":    "application/json",
		"Idempotency-Key": m.EventID.String(),
		"X-Request":       m.RequestID.String() + "/1",
		"User-Agent":      "countersign",
	} {
		if h.Get(name) != want || len(h.Values(name)) != 1 {
			t.Errorf("%s: %q, want %q", name, h.Values(name), want)
		}
	}
}
