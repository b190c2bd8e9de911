package httpsms_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/verify"
)

// readyMade is a carrier in the form of the how-to page.
type readyMade struct {
	Name string
	Type string
	HTTP struct {
		URL, Method   string
		Headers       []string
		BasicUser     string `yaml:"basic_user"`
		BasicPassword string `yaml:"basic_password"`
		Body          string
		Success       []string
		Temporary     []string
		Ref           string
		Timeout       time.Duration
		Concurrency   int
		Rate          float64
		Receipts      struct {
			Secret, Ref, Status, Error string
			States                     []string
		}
	}
}

// fromPage returns the settings of the carrier name in the how-to page, with the words in
// capitals replaced, and with host replaced by fake.
func fromPage(t *testing.T, name, host, fake string, told *reports) httpsms.Config {
	t.Helper()
	page, err := os.ReadFile("../../../docs/how-to/connect-an-http-gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("CALLBACK_SECRET", secret, "ACCOUNT_SID", "AC123", "AUTH_TOKEN", "token",
		"API_KEY", "abcd1234", "API_SECRET", "s3cret", "API_TOKEN", "token").Replace(string(page))
	for _, block := range strings.Split(text, "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		var file struct{ Carriers []readyMade }
		decoder := yaml.NewDecoder(strings.NewReader(block))
		decoder.KnownFields(true)
		if err := decoder.Decode(&file); err != nil {
			t.Fatalf("%v in\n%s", err, block)
		}
		c := file.Carriers[0]
		if c.Name != name {
			continue
		}
		if c.Type != "httpsms" || !strings.HasPrefix(c.HTTP.URL, host) {
			t.Fatalf("type %s at %s", c.Type, c.HTTP.URL)
		}
		h := c.HTTP
		return httpsms.Config{
			Name: c.Name, URL: fake + strings.TrimPrefix(h.URL, host), Method: h.Method,
			Headers: h.Headers, BasicUser: h.BasicUser, BasicPassword: h.BasicPassword, Body: h.Body,
			Success: h.Success, Temporary: h.Temporary, Ref: h.Ref,
			Timeout: h.Timeout, Concurrency: h.Concurrency, Rate: h.Rate,
			Receipts: httpsms.ReceiptConfig(h.Receipts), Reports: told.deliver(),
		}
	}
	t.Fatalf("no settings for %s", name)
	return httpsms.Config{}
}

// step is one message to a fake gateway, identified by its text, with its outcome.
type step struct {
	text string
	want string
	refs []string
}

func sendAll(t *testing.T, g *httpsms.Gateway, steps []step) {
	t.Helper()
	for _, s := range steps {
		m := sms()
		m.Text = s.text
		got, err := g.Send(t.Context(), m)
		if kind := kindOf(err); kind != s.want || !slices.Equal(got.Refs, s.refs) {
			t.Errorf("%q: %s (%v) with the ids %q, want %s with %q", s.text, kind, err, got.Refs, s.want, s.refs)
		}
	}
}

// page holds the callback URL of the last message.
type page struct {
	mu       sync.Mutex
	callback string
}

func (p *page) set(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.callback = s
}

// query returns the query of the callback URL.
func (p *page) query(t *testing.T, wantPath string) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := url.Parse(p.callback)
	if err != nil || u.Scheme != "https" || u.Path != wantPath || u.Query().Get("secret") != secret {
		t.Fatalf("callback %q (%v), want one to %s with the secret", p.callback, err, wantPath)
	}
	return "?" + u.RawQuery
}

// fakeVonage answers according to https://developer.vonage.com/en/api/sms: always 200,
// with a status for each part.
func fakeVonage(t *testing.T, seen *page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.Path != "/sms/json" {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		part := func(status, id string) map[string]string {
			if status != "0" {
				return map[string]string{"status": status, "error-text": "to=" + r.PostForm.Get("to")}
			}
			return map[string]string{"to": r.PostForm.Get("to"), "message-id": id, "status": "0", "remaining-balance": "3.14159265", "message-price": "0.03330000", "network": "12345"}
		}
		var parts []map[string]string
		f := r.PostForm
		switch {
		case f.Get("api_key") != "abcd1234" || f.Get("api_secret") != "s3cret":
			parts = append(parts, part("4", ""))
		case f.Get("to") != number || f.Get("from") != "Acme" || f.Get("type") != "unicode" || f.Get("ttl") != "300000" || len(f.Get("client-ref")) > 40:
			parts = append(parts, part("3", ""))
		case f.Get("text") == "too fast":
			parts = append(parts, part("1", ""))
		case f.Get("text") == "internal":
			parts = append(parts, part("5", ""))
		case f.Get("text") == "barred":
			parts = append(parts, part("7", ""))
		case f.Get("text") == "down":
			w.WriteHeader(http.StatusInternalServerError)
			return
		case len([]rune(f.Get("text"))) > 70:
			parts = append(parts, part("0", "0A0000000123ABCD1"), part("0", "0A0000000123ABCD2"))
		default:
			parts = append(parts, part("0", "0A0000000123ABCD1"))
		}
		seen.set(f.Get("callback"))
		json.NewEncoder(w).Encode(map[string]any{"message-count": fmt.Sprint(len(parts)), "messages": parts})
	}
}

func TestVonageSettings(t *testing.T) {
	t.Parallel()
	seen, told := &page{}, newReports()
	fake := serve(t, fakeVonage(t, seen))
	g := open(t, fromPage(t, "vonage", "https://rest.nexmo.com", fake, told))
	sendAll(t, g, []step{
		{"Код: 4711 & 50% 😀+", accepted, []string{"0A0000000123ABCD1"}},
		{strings.Repeat("ж", 71), accepted, []string{"0A0000000123ABCD1", "0A0000000123ABCD2"}},
		{"too fast", notSent, nil},
		{"internal", notSent, nil},
		{"barred", refused, nil},
		{"down", unclear, nil},
		{"again", accepted, []string{"0A0000000123ABCD1"}},
	})

	// The same receipt in the three forms that an account can select.
	query := seen.query(t, "/carriers/vonage/receipts")
	fields := url.Values{
		"msisdn": {number}, "to": {"Acme"}, "network-code": {"23410"}, "messageId": {"0A0000000123ABCD1"}, "price": {"0.0333"},
		"status": {"failed"}, "scts": {"2001011400"}, "err-code": {"6"}, "api-key": {"abcd1234"}, "message-timestamp": {"2020-01-01 12:00:00"},
	}
	object := make(map[string]string)
	for name := range fields {
		object[name] = fields.Get(name)
	}
	text, _ := json.Marshal(object)
	for _, w := range []int{
		callback(g, http.MethodGet, query+"&"+fields.Encode(), "", "").Code,
		callback(g, http.MethodPost, query, form, fields.Encode()).Code,
		callback(g, http.MethodPost, query, "application/json", string(text)).Code,
	} {
		if w != http.StatusNoContent {
			t.Errorf("HTTP %d", w)
		}
	}
	want := deliver.Receipt{Carrier: "vonage", Ref: "0A0000000123ABCD1", State: verify.EventUndeliverable, Error: "6"}
	if got := told.all(); !sameReceipts(got, []deliver.Receipt{want, want, want}) {
		t.Errorf("receipts %+v", got)
	}
	checkWords(t, g, told, "messageId", "status", map[string]verify.EventState{
		"delivered": verify.EventDelivered, "expired": verify.EventExpired, "failed": verify.EventUndeliverable,
		"rejected": verify.EventRejected, "accepted": verify.EventAccepted, "buffered": verify.EventAccepted, "unknown": "",
	})
}

// fakeTwilio answers according to
// https://www.twilio.com/docs/messaging/api/message-resource.
func fakeTwilio(t *testing.T, seen *page) http.HandlerFunc {
	fail := func(w http.ResponseWriter, status, code int, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"code": code, "message": message, "more_info": "https://www.twilio.com/docs/errors", "status": status})
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/AC123/Messages.json" {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		f := r.PostForm
		user, password, _ := r.BasicAuth()
		switch {
		case user != "AC123" || password != "token":
			fail(w, 401, 20003, "Authenticate")
		case f.Get("To") != "+"+number || f.Get("From") != "Acme" || f.Get("ValidityPeriod") != "300":
			fail(w, 400, 21211, "Invalid 'To' Phone Number: "+f.Get("To"))
		case f.Get("Body") == "unsubscribed":
			fail(w, 400, 21610, "Attempt to send to unsubscribed recipient")
		case f.Get("Body") == "too fast":
			w.Header().Set("Retry-After", "0")
			fail(w, 429, 20429, "Too Many Requests")
		case f.Get("Body") == "down":
			fail(w, 500, 20500, "Internal Server Error")
		default:
			seen.set(f.Get("StatusCallback"))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"sid":"SM1","status":"queued","body":%q,"error_code":null,"num_segments":"1"}`, f.Get("Body"))
		}
	}
}

func TestTwilioSettings(t *testing.T) {
	t.Parallel()
	seen, told := &page{}, newReports()
	g := open(t, fromPage(t, "twilio", "https://api.twilio.com", serve(t, fakeTwilio(t, seen)), told))
	sendAll(t, g, []step{
		{"Code: 4711 & 50% +", accepted, []string{"SM1"}},
		{"unsubscribed", refused, nil},
		{"too fast", notSent, nil},
		{"down", unclear, nil},
	})
	w := callback(g, http.MethodPost, seen.query(t, "/carriers/twilio/receipts"), form+"; charset=UTF-8",
		"SmsSid=SM1&SmsStatus=undelivered&MessageStatus=undelivered&To=%2B447700900123&MessageSid=SM1&AccountSid=AC123&From=Acme&ApiVersion=2010-04-01&ErrorCode=30003")
	if w.Code != http.StatusNoContent {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
	want := []deliver.Receipt{{Carrier: "twilio", Ref: "SM1", State: verify.EventUndeliverable, Error: "30003"}}
	if got := told.all(); !sameReceipts(got, want) {
		t.Errorf("receipts %+v, want %+v", got, want)
	}
	checkWords(t, g, told, "MessageSid", "MessageStatus", map[string]verify.EventState{
		"queued": verify.EventAccepted, "sending": verify.EventAccepted, "sent": verify.EventAccepted, "accepted": verify.EventAccepted,
		"delivered": verify.EventDelivered, "undelivered": verify.EventUndeliverable, "failed": verify.EventUndeliverable,
		"canceled": verify.EventUndeliverable, "read": verify.EventDelivered,
	})
}

func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	m := sms()
	m.Text = "\"4711\"\n& 50% 😀"
	fake := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		if got["to"] != "+"+number || got["from"] != "Acme" || got["text"] != m.Text || got["valid_seconds"] != 300.0 || got["reference"] != m.EventID.String() {
			t.Errorf("body %s", body)
		}
		if r.URL.Path != "/send" || r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Idempotency-Key") != m.EventID.String() {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
		io.WriteString(w, `{"id":"w1"}`)
	})
	told := newReports()
	g := open(t, fromPage(t, "webhook", "https://sms.example.com", fake, told))
	got, err := g.Send(t.Context(), m)
	if err != nil || !slices.Equal(got.Refs, []string{"w1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	checkWords(t, g, told, "id", "status", map[string]verify.EventState{
		"done": verify.EventDelivered, "blocked": verify.EventRejected, "delivered": verify.EventDelivered,
	})
}

// checkWords calls back with each word and compares the reported state; "" for no report.
func checkWords(t *testing.T, g *httpsms.Gateway, told *reports, ref, status string, words map[string]verify.EventState) {
	t.Helper()
	for word, want := range words {
		before := len(told.all())
		w := callback(g, http.MethodPost, "", form, url.Values{ref: {"x"}, status: {word}}.Encode())
		if w.Code != http.StatusNoContent {
			t.Errorf("%s: HTTP %d: %s", word, w.Code, w.Body)
		}
		var got verify.EventState
		for _, r := range told.all()[before:] {
			got = r.State
		}
		if got != want {
			t.Errorf("%s is %q, want %q", word, got, want)
		}
	}
}
