package httpsms_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/logtest"
	"countersign/internal/verify"
)

const (
	number = "447700900123"
	secret = "callback-secret-0123"
)

// reports collects the reports of a gateway. Its channel receives every late answer.
type reports struct {
	mu       sync.Mutex
	receipts []deliver.Receipt
	err      error
	answers  chan deliver.Answer
}

func newReports() *reports { return &reports{answers: make(chan deliver.Answer, 16)} }

func (r *reports) deliver() deliver.Reports {
	return deliver.Reports{
		Receipt: func(_ context.Context, receipt deliver.Receipt) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.err != nil {
				return r.err
			}
			r.receipts = append(r.receipts, receipt)
			return nil
		},
		Answer: func(_ context.Context, a deliver.Answer) error {
			r.answers <- a
			return nil
		},
	}
}

func (r *reports) all() []deliver.Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.receipts)
}

// jsonConfig returns the minimal settings for sending JSON to url.
func jsonConfig(url string) httpsms.Config {
	return httpsms.Config{
		Name:    "gate",
		URL:     url,
		Headers: []string{"Content-Type: application/json"},
		Body:    `{"to":"{{.To}}","from":"{{.From}}","text":"{{.Text}}"}`,
		Ref:     "id",
		Reports: newReports().deliver(),
	}
}

func open(t *testing.T, c httpsms.Config) *httpsms.Gateway {
	t.Helper()
	if c.Log == nil {
		c.Log = logtest.New(t)
	}
	g, err := httpsms.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(context.Background()) })
	return g
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func sms() deliver.Message {
	return deliver.Message{
		EventID: verify.ID{1}, RequestID: verify.ID{2}, Attempt: 1, Channel: verify.SMS,
		To: verify.PhoneAddress(number, ""), From: "Acme", Text: "Your code: 4711", ValidFor: 300*time.Second + 900*time.Millisecond,
	}
}

// Outcomes of Send.
const (
	accepted = "accepted"
	refused  = "refused"
	notSent  = "not sent"
	unclear  = "unclear"
)

func kindOf(err error) string {
	switch no, later := errors.Is(err, deliver.ErrRefused), errors.Is(err, deliver.ErrNotSent); {
	case err == nil:
		return accepted
	case no && later:
		return "both refused and not sent"
	case no:
		return refused
	case later:
		return notSent
	default:
		return unclear
	}
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// hangUp reads the request, writes answer and closes the connection.
func hangUp(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
}

// silent calls arrived for a request and waits until the client disconnects. The server
// detects that only after reading the body.
func silent(arrived func()) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		arrived()
		<-r.Context().Done()
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	long := `{"id":"1","pad":"` + strings.Repeat("x", 80<<10) + `"}`
	tests := []struct {
		name      string
		answer    http.HandlerFunc
		success   []string
		temporary []string
		want      string
		refs      []string
	}{
		{name: "Accepted", answer: reply(200, `{"id":"a1"}`), want: accepted, refs: []string{"a1"}},
		{name: "NumberAsID", answer: reply(202, `{"id":12345678901234567890}`), want: accepted, refs: []string{"12345678901234567890"}},
		{name: "AcceptedWithoutID", answer: reply(204, ``), want: accepted},
		{name: "NullAsID", answer: reply(200, `{"id":null}`), want: accepted},
		{name: "EmptyID", answer: reply(200, `{"id":""}`), want: accepted},
		{name: "NotJSONButNobodyAsks", answer: reply(200, `OK`), want: accepted},

		{name: "BadRequest", answer: reply(400, `{"code":21211}`), want: refused},
		{name: "Unauthorized", answer: reply(401, ``), want: refused},
		{name: "Redirect", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, want: refused},
		{name: "StatusInBody", answer: reply(200, `{"id":"1","status":"4"}`), success: []string{"http 200", "json status == 0"}, want: refused},
		{name: "StatusInBodyIsNumber", answer: reply(200, `{"id":"1","status":0}`), success: []string{"json status == 0"}, want: accepted, refs: []string{"1"}},
		{name: "HTMLBesideABadStatus", answer: reply(403, `<html>`), success: []string{"http 200", "json status == 0"}, want: refused},

		{name: "TooMany", answer: reply(429, ``), want: notSent},
		{name: "Unavailable", answer: reply(503, ``), want: notSent},
		{name: "Temporary", answer: reply(200, `{"status":"1"}`), success: []string{"json status == 0"}, temporary: []string{"json status in 1,5"}, want: notSent},
		{name: "TemporaryDoesNotHold", answer: reply(200, `{"status":"2"}`), success: []string{"json status == 0"}, temporary: []string{"json status in 1,5"}, want: refused},
		{name: "TemporaryByStatus", answer: reply(502, ``), temporary: []string{"http 502,504"}, want: notSent},

		{name: "ServerError", answer: reply(500, `{"id":"1"}`), want: unclear},
		{name: "BadGateway", answer: reply(502, ``), want: unclear},
		{name: "RequestTimeout", answer: reply(408, ``), want: unclear},
		{name: "NotJSON", answer: reply(200, `<html>`), success: []string{"json status == 0"}, want: unclear},
		{name: "TwoJSONs", answer: reply(200, `{"status":0}{"status":0}`), success: []string{"json status == 0"}, want: unclear},
		{name: "FieldMissing", answer: reply(200, `{"id":"1"}`), success: []string{"json status == 0"}, want: unclear},
		{name: "Huge", answer: reply(200, long), success: []string{"json id == 1"}, want: unclear},
		{name: "HugeButNobodyAsks", answer: reply(200, long), want: accepted},
		{name: "CutBeforeTheAnswer", answer: hangUp(""), want: unclear},
		{name: "CutInTheAnswer", answer: hangUp("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\":0"), success: []string{"json status == 0"}, want: unclear},
		{name: "NotHTTP", answer: hangUp("220 mail.example.com ESMTP\r\n"), want: unclear},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			c := jsonConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tt.answer(w, r)
			}))
			c.Success, c.Temporary = tt.success, tt.temporary
			got, err := open(t, c).Send(t.Context(), sms())
			if kind := kindOf(err); kind != tt.want {
				t.Errorf("%s (%v), want %s", kind, err, tt.want)
			}
			if err == nil && (got.Carrier != "gate" || !slices.Equal(got.Refs, tt.refs)) {
				t.Errorf("submission %+v, want the ids %q", got, tt.refs)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, answer, want string
		refs               []string
	}{
		{"All", `{"m":[{"s":"0","id":"a"},{"s":"0","id":"b"}]}`, accepted, []string{"a", "b"}},
		{"None", `{"m":[{"s":"3"},{"s":"4"}]}`, refused, nil},
		{"Some", `{"m":[{"s":"0","id":"a"},{"s":"4"}]}`, unclear, nil},
		{"AllTooFast", `{"m":[{"s":"1"},{"s":"1"}]}`, notSent, nil},
		{"SomeTooFast", `{"m":[{"s":"0","id":"a"},{"s":"1"}]}`, unclear, nil},
		{"Empty", `{"m":[]}`, unclear, nil},
		{"OneWithoutID", `{"m":[{"s":"0","id":"a"},{"s":"0"}]}`, accepted, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig(serve(t, reply(200, tt.answer)))
			c.Success, c.Temporary, c.Ref = []string{"json m.*.s == 0"}, []string{"json m.*.s in 1"}, "m.*.id"
			got, err := open(t, c).Send(t.Context(), sms())
			if kind := kindOf(err); kind != tt.want || !slices.Equal(got.Refs, tt.refs) {
				t.Errorf("%s (%v) with ids %q, want %s with %q", kind, err, got.Refs, tt.want, tt.refs)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	tests := []struct{ condition, answer, want string }{
		{`http 200`, `x`, accepted},
		{`http 100-199,201`, `x`, refused},
		{`json a.b.1 == x`, `{"a":{"b":[0,"x"]}}`, accepted},
		{`json a.b.2 == x`, `{"a":{"b":[0,"x"]}}`, unclear},
		{`json a == "b c, d"`, `{"a":"b c, d"}`, accepted},
		{`json a == b c, d`, `{"a":"b c, d"}`, accepted},
		{`json a == ""`, `{"a":""}`, accepted},
		{`json a == "\u00e9"`, `{"a":"é"}`, accepted},
		{`json a == true`, `{"a":true}`, accepted},
		{`json a == null`, `{"a":null}`, accepted},
		{`json a == 1.50`, `{"a":1.5}`, refused},
		{`json a == {}`, `{"a":{}}`, unclear},
		{`json a != 0`, `{"a":1}`, accepted},
		{`json a != 0`, `{"a":0}`, refused},
		{`json a != 0`, `{}`, accepted},
		{`json a != 0`, `no json`, unclear},
		{`json a in x, "y,z" , w`, `{"a":"y,z"}`, accepted},
		{`json a in x, "y,z" , w`, `{"a":"w"}`, accepted},
		{`json a in x, "y,z" , w`, `{"a":"y"}`, refused},
		{`json 0.a == 1`, `[{"a":1}]`, accepted},
		{`json -1.a == 1`, `[{"a":1}]`, unclear},
		{`body contains OK: `, `STATUS OK: 1`, accepted},
		{`body contains "OK 1"`, `OK 2`, refused},
	}
	for _, tt := range tests {
		t.Run(tt.condition, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig(serve(t, reply(200, tt.answer)))
			c.Success = []string{tt.condition}
			_, err := open(t, c).Send(t.Context(), sms())
			if kind := kindOf(err); kind != tt.want {
				t.Errorf("for %s: %s (%v), want %s", tt.answer, kind, err, tt.want)
			}
		})
	}
}

// TestNothingWritten: if no request was written, the message can fail over.
func TestNothingWritten(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	plain := serve(t, reply(200, ""))
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections without a TLS handshake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })

	tests := []struct{ name, url string }{
		{"ConnectionRefused", closed.URL},
		{"NoSuchHost", "http://gateway.invalid/"},
		{"TLSOnPlain", strings.Replace(plain, "http:", "https:", 1)},
		{"UntrustedCertificate", untrusted.URL},
		{"SilentHandshake", "https://" + mute.Addr().String()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := jsonConfig(tt.url)
			c.Timeout = 500 * time.Millisecond
			c.Transport = &http.Transport{} // ignores proxies of the environment
			_, err := open(t, c).Send(t.Context(), sms())
			if kind := kindOf(err); kind != notSent {
				t.Errorf("%s: %v", kind, err)
			}
		})
	}
}

func TestSendRefusesBeforeItConnects(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name  string
		alter func(*deliver.Message)
		ctx   context.Context
		want  string
	}{
		{"Call", func(m *deliver.Message) { m.Channel = verify.TTS }, t.Context(), refused},
		{"Expired", func(m *deliver.Message) { m.ValidFor = 0 }, t.Context(), notSent},
		{"NotANumber", func(m *deliver.Message) { m.To = verify.PhoneAddress("1\r\n2", "") }, t.Context(), refused},
		{"NoNumber", func(m *deliver.Message) { m.To = verify.PhoneAddress("", "") }, t.Context(), refused},
		{"HeaderLineBreak", func(m *deliver.Message) { m.From = "a\r\nX-Evil: 1" }, t.Context(), refused},
		{"HeaderNUL", func(m *deliver.Message) { m.From = "a\x00" }, t.Context(), refused},
		{"HeaderNotASCII", func(m *deliver.Message) { m.From = "Äcme" }, t.Context(), refused},
		{"PathOfDots", func(m *deliver.Message) { m.From = ".." }, t.Context(), refused},
		{"Cancelled", func(*deliver.Message) {}, cancelled, notSent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			c := jsonConfig(serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) }) + "/from/{{.From}}/send")
			c.Headers = append(c.Headers, "X-From: {{.From}}")
			m := sms()
			tt.alter(&m)
			_, err := open(t, c).Send(tt.ctx, m)
			if kind := kindOf(err); kind != tt.want {
				t.Errorf("%s (%v), want %s", kind, err, tt.want)
			}
			if n := requests.Load(); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func sameReceipts(a, b []deliver.Receipt) bool {
	return slices.EqualFunc(a, b, func(x, y deliver.Receipt) bool { return reflect.DeepEqual(x, y) })
}
