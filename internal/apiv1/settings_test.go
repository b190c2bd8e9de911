package apiv1_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// TestSettings checks that each restriction of an account is enforced with its status,
// and that an account without restrictions is not affected.
func TestSettings(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	const (
		american = "12025550123"
		french   = "33612345678"
	)
	invalid := func(param string) string { return "3 " + textInvalid + param }
	for _, tt := range []struct {
		name   string
		may    verify.Settings
		params url.Values
		want   string
	}{
		{"country", verify.Settings{Countries: []string{"FR", "US"}}, form(), "15 " + textUnsupported},
		{"country/allowed", verify.Settings{Countries: []string{"FR", "US"}}, form("number", american), ""},
		{"country/of none", verify.Settings{Countries: []string{"FR"}}, form("number", "883510012345"), "15 " + textUnsupported},
		{"workflow", verify.Settings{Workflows: []int{4, 6}}, form("workflow_id", "1"), invalid("workflow_id")},
		{"workflow/allowed", verify.Settings{Workflows: []int{4, 6}}, form("workflow_id", "6"), ""},
		{"workflow/not given", verify.Settings{Workflows: []int{4, 6}}, form(), ""},
		{"sender", verify.Settings{Senders: []string{"Acme"}}, form("sender_id", "acme"), invalid("sender_id")},
		{"sender/allowed", verify.Settings{Senders: []string{"Acme"}}, form("sender_id", "Acme"), ""},
		{"sender/not given", verify.Settings{Senders: []string{"Acme"}}, form(), ""},
		{"code length", verify.Settings{MinCodeLength: 6}, form("code_length", "4"), invalid("code_length")},
		{"code length/allowed", verify.Settings{MinCodeLength: 6}, form("code_length", "6"), ""},
		{"code length/not given", verify.Settings{MinCodeLength: 6}, form(), ""},
		{"code length/5", verify.Settings{MinCodeLength: 5}, form("code_length", "5"), invalid("code_length")},
		{"pin code", verify.Settings{MinCodeLength: 7}, form("pin_code", "123456"), invalid("pin_code")},
		{"pin code/allowed", verify.Settings{MinCodeLength: 7}, form("pin_code", "1234567"), ""},
		{"strict/code length", verify.Settings{Strict: true}, form("code_length", "4"), invalid("code_length")},
		{"strict/pin code", verify.Settings{Strict: true}, form("pin_code", "12345"), invalid("pin_code")},
		{"strict/pin expiry", verify.Settings{Strict: true}, form("pin_expiry", "601"), invalid("pin_expiry")},
		{"strict/pin expiry/allowed", verify.Settings{Strict: true}, form("pin_expiry", "600"), ""},
		{"strict/wait that becomes the expiry", verify.Settings{Strict: true}, form("pin_expiry", "600", "next_event_wait", "700"), invalid("next_event_wait")},
		{"strict/expiry that becomes the wait", verify.Settings{Strict: true}, form("pin_expiry", "3000", "next_event_wait", "70"), ""},
		{"strict/wait alone", verify.Settings{Strict: true}, form("next_event_wait", "900"), ""},
		{"source", verify.Settings{Sources: []string{"192.0.2.0/24"}}, form(), "4 Invalid credentials were provided"},
		{"source/allowed", verify.Settings{Sources: []string{"192.0.2.0/24", "127.0.0.0/8"}}, form(), ""},
		{"none", verify.Settings{}, form("number", french, "workflow_id", "3", "sender_id", "x", "pin_expiry", "3600", "pin_code", "1234"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := newAccount(t, s, verify.Account{Balance: verify.Unit, CustomPIN: true, Settings: tt.may}, "")
			params := as(key, form("number", aNumber, "brand", "Acme"))
			for name, values := range tt.params {
				params[name] = values
			}
			if got := statusOf(call(t, s, "/verify/json", params)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.name == "sender" || strings.HasPrefix(tt.name, "pin code") || strings.HasPrefix(tt.name, "strict/pin code") {
				return // psd2 has no such parameter
			}
			params.Set("payee", "Acme")
			params.Set("amount", "48")
			params.Set("api_key", newAccount(t, s, verify.Account{Balance: verify.Unit, Settings: tt.may}, ""))
			if got := statusOf(call(t, s, "/verify/psd2/json", params)); got != tt.want {
				t.Errorf("psd2: got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCodeLengthBySettings checks that without code_length the PIN has the account's
// minimum length.
func TestCodeLengthBySettings(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for number, tt := range map[string]struct {
		may  verify.Settings
		want int
	}{
		"447700900101": {verify.Settings{}, 4},
		"447700900102": {verify.Settings{MinCodeLength: 5}, 5},
		"447700900103": {verify.Settings{MinCodeLength: 8}, 8},
		"447700900104": {verify.Settings{Strict: true}, 6},
		"447700900105": {verify.Settings{Strict: true, MinCodeLength: 4}, 6},
	} {
		key := newAccount(t, s, verify.Account{Balance: verify.Unit, Settings: tt.may}, "")
		got := call(t, s, "/verify/json", as(key, form("number", number, "brand", "Acme")))
		pin := s.WaitMessages(number, 1)[0].PIN()
		if len(pin) != tt.want {
			t.Errorf("%+v: the PIN has %d digits, want %d", tt.may, len(pin), tt.want)
		}
		if got := call(t, s, "/verify/check/json", as(key, form("request_id", got["request_id"], "code", pin))); got["status"] != "0" {
			t.Errorf("%+v: check: %v", tt.may, got)
		}
	}
}

// TestDefaultWorkflowBySettings checks that the default workflow is the first allowed one.
func TestDefaultWorkflowBySettings(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	key := newAccount(t, s, verify.Account{Balance: verify.Unit, Settings: verify.Settings{Workflows: []int{3, 6}}}, "")
	if got := call(t, s, "/verify/json", as(key, form("number", aNumber, "brand", "Acme"))); got["status"] != "0" {
		t.Fatalf("start: %v", got)
	}
	if m := s.WaitMessages(aNumber, 1)[0]; m.Channel != "tts" {
		t.Errorf("got %+v, want a call", m)
	}
}

// TestSourceBehindProxy checks that only a trusted proxy can state the source of a
// request, for every endpoint.
func TestSourceBehindProxy(t *testing.T) {
	t.Parallel()
	may := verify.Account{Balance: verify.Unit, Settings: verify.Settings{Sources: []string{"203.0.113.0/24"}}}
	ask := func(s *servertest.Server, key, path, forwarded string) string {
		t.Helper()
		r := request{path: path, params: as(key, form("request_id", unknownID, "code", "1234", "cmd", "cancel"))}
		req, err := r.build(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", forwarded)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return statusOf(answer{resp.StatusCode, resp.Header, string(body)}.fields(t))
	}
	trusting := servertest.Start(t, func(o *server.Options) { o.Config.TrustedProxies = []string{"127.0.0.0/8"} })
	wary := servertest.Start(t, func(o *server.Options) { o.Config.TrustedProxies = nil })
	key, other := newAccount(t, trusting, may, ""), newAccount(t, wary, may, "")
	const bad = "4 Bad credentials"
	for _, path := range []string{"/verify/check/json", "/verify/search/json", "/verify/control/json"} {
		if got := ask(trusting, key, path, "203.0.113.9"); got == bad || got == "" {
			t.Errorf("%s from within: %q", path, got)
		}
		for _, forwarded := range []string{"", "198.51.100.1", "203.0.113.9, 198.51.100.1"} {
			if got := ask(trusting, key, path, forwarded); got != bad {
				t.Errorf("%s from %q: %q, want %q", path, forwarded, got, bad)
			}
		}
		if got := ask(wary, other, path, "203.0.113.9"); got != bad {
			t.Errorf("%s through an untrusted proxy: %q, want %q", path, got, bad)
		}
	}
}

// TestTestNumber checks that a test number receives no message, costs no money, skips the
// rules, and has its configured PIN for the whole workflow.
func TestTestNumber(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	const number = server.BlockedNumber
	err := s.Store().UpdateAccount(t.Context(), server.DemoAccount, func(a *verify.Account) error {
		a.Settings.TestNumbers = []verify.TestNumber{{Number: number, Code: "424242"}}
		a.Settings.Countries = []string{"FR"}
		a.Trial = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := s.Store().LedgerSum(t.Context(), server.DemoAccount)
	if err != nil {
		t.Fatal(err)
	}
	id := startOn(t, s, number)
	if got := call(t, s, "/verify/json", form("number", number, "brand", "Acme")); got["status"] != "10" || got["request_id"] != id {
		t.Errorf("a second one: %v, want 10", got)
	}
	for i, wait := range []time.Duration{0, 125 * time.Second, 180 * time.Second} { // every event of the workflow
		s.Clock.Advance(wait)
		v := waitSettled(t, s, id, i+1)
		if e := v.Events[i]; e.State != verify.EventDelivered || v.Price != 0 {
			t.Errorf("event %d is %s, the price %s; want delivered, without charge", i, e.State, v.Price)
		}
	}
	if got := checkCode(t, s, id, "1234"); got["status"] != "16" {
		t.Errorf("a wrong code: %v", got)
	}
	if got := search(t, s, id); got["status"] != "IN PROGRESS" || got["number"] != number || got["price"] != "0" {
		t.Errorf("search: %v", got)
	}
	if got := checkCode(t, s, id, "424242"); got["status"] != "0" {
		t.Errorf("the right code: %v", got)
	}
	if got := startOn(t, s, number, "pin_code", "999999"); checkCode(t, s, got, "999999")["status"] != "16" || checkCode(t, s, got, "424242")["status"] != "0" {
		t.Error("pin_code replaced the configured code")
	}
	if m := s.Messages(number); len(m) != 0 {
		t.Errorf("a message was sent: %+v", m)
	}
	if after, _, err := s.Store().LedgerSum(t.Context(), server.DemoAccount); err != nil || after != before {
		t.Errorf("the balance changed from %s to %s (%v)", before, after, err)
	}
	key := newAccount(t, s, verify.Account{Balance: verify.Unit}, "")
	if got := call(t, s, "/verify/json", as(key, form("number", number, "brand", "Acme"))); got["status"] != "7" {
		t.Errorf("start by another account: %v, want 7", got)
	}
}

// TestSubAccount checks that the parent pays, while verifications and their limits belong
// to the sub-account.
func TestSubAccount(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	parent := newAccount(t, s, verify.Account{Balance: 2 * 12050000}, "")
	child := newAccount(t, s, verify.Account{Parent: parent}, "")
	start := func(key, number string) (id, status string) {
		got := call(t, s, "/verify/json", as(key, form("number", number, "brand", "Acme")))
		return got["request_id"], statusOf(got)
	}
	id, status := start(child, aNumber)
	if status != "" {
		t.Fatalf("the parent did not pay: %s", status)
	}
	if _, status := start(parent, aNumber); status != "" {
		t.Errorf("the parent's own, to the same number: %s", status)
	}
	for _, key := range []string{parent, child} {
		if _, status := start(key, "447700900101"); status != "9 "+textNoCredit {
			t.Errorf("%s: got %q, want 9", key, status)
		}
	}
	if got := call(t, s, "/verify/search/json", as(child, form("request_id", id))); got["status"] != "IN PROGRESS" || got["account_id"] != child {
		t.Errorf("the child's search: %v", got)
	}
	if got := call(t, s, "/verify/search/json", as(parent, form("request_id", id))); got["status"] != "101" {
		t.Errorf("the parent finds the child's verification: %v", got)
	}
}

// TestDailyCap checks that starts beyond the daily cap are refused like starts without
// credit, until the next day.
func TestDailyCap(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	key := newAccount(t, s, verify.Account{Balance: verify.Unit, DailyCap: 2 * 12050000}, "")
	want := func(number, want string) {
		t.Helper()
		if got := statusOf(call(t, s, "/verify/json", as(key, form("number", number, "brand", "Acme")))); got != want {
			t.Errorf("%s: got %q, want %q", number, got, want)
		}
	}
	want("447700900101", "")
	want("447700900102", "")
	want("447700900103", "9 "+textNoCredit)
	want("12025550123", "9 "+textNoCredit)
	s.Clock.Advance(24 * time.Hour)
	want("447700900103", "")
}
