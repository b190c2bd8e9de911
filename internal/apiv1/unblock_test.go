package apiv1_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// guarded enforces the velocity rules, except those that a test of one prefix would
// trigger accidentally.
func guarded(change func(*config.FraudRules)) servertest.Option {
	return func(o *server.Options) {
		o.Config.Networks.Known = []config.Network{{Name: "23410", Prefixes: []string{"44770"}}}
		o.Config.Fraud.Rules = config.Default().Fraud.Rules
		o.Config.Fraud.Rules.Sequence.Mode = "off"
		o.Config.Fraud.Rules.Unverified.Mode = "off"
		if change != nil {
			change(&o.Config.Fraud.Rules)
		}
	}
}

// forbidUnblock revokes or grants the permission of the demo account.
func forbidUnblock(t *testing.T, s *servertest.Server, forbid bool) {
	t.Helper()
	err := s.Store().UpdateAccount(t.Context(), server.DemoAccount, func(a *verify.Account) error {
		a.Settings.Fraud.Unblock = !forbid
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fail starts n verifications of numbers from the given one and fails them with wrong
// codes. It returns the first refusal.
func fail(t *testing.T, s *servertest.Server, from, n int) (refusal map[string]string) {
	t.Helper()
	for i := from; i < from+n; i++ {
		number := fmt.Sprintf("4477010%05d", i)
		got := call(t, s, "/verify/json", form("number", number, "brand", "Acme"))
		if got["status"] != "0" {
			return got
		}
		for range 3 {
			call(t, s, "/verify/check/json", form("request_id", got["request_id"], "code", "nope12"))
		}
	}
	return nil
}

// unblock requests network-unblock.
func unblock(t *testing.T, s *servertest.Server, body string) (int, map[string]any) {
	t.Helper()
	got := send(t, s.URL(), request{
		path: "/verify/network-unblock", contentType: "application/json", body: body, user: server.DemoAccount, pass: server.DemoSecret,
	})
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.body), &fields); err != nil {
		t.Fatalf("network-unblock returned %d %s", got.code, got.body)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type is %q", ct)
	}
	return got.code, fields
}

// TestConversionBlock checks that a network with falling conversion is blocked without
// charges, that the account can unblock it for a time, and that the next block is longer.
func TestConversionBlock(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, guarded(nil), servertest.Quiet())
	if got := fail(t, s, 0, 30); got != nil {
		t.Fatalf("refused before 30 had ended: %v", got)
	}
	before := balance(t, s)
	blocked := fail(t, s, 100, 1)
	if blocked["status"] != "7" || blocked["error_text"] != textBlocked || blocked["network"] != "23410" || blocked["request_id"] != "" {
		t.Fatalf("got %v, want status 7 for network 23410", blocked)
	}
	if after := balance(t, s); after != before {
		t.Errorf("the balance changed from %v to %v", before, after)
	}
	xml := send(t, s.URL(), request{path: "/verify/xml", params: form("number", "447701000200", "brand", "Acme")})
	if !strings.Contains(xml.body, "<status>7</status>") || !strings.Contains(xml.body, "<network>23410</network>") {
		t.Errorf("in XML: %s", xml.body)
	}
	if got := call(t, s, "/verify/json", form("number", "33612345678", "brand", "Acme")); got["status"] != "0" {
		t.Errorf("another network: %v", got)
	}

	code, got := unblock(t, s, `{"network": "23410", "duration": 600}`)
	until := servertest.Epoch.Add(10 * time.Minute).Format(time.RFC3339)
	if code != http.StatusAccepted || got["network"] != "23410" || got["unblocked_until"] != until || len(got) != 2 {
		t.Fatalf("unblock returned %d %v, want until %s", code, got, until)
	}
	s.Clock.Advance(time.Minute) // earlier counts expire
	if got := fail(t, s, 200, 30); got != nil {
		t.Fatalf("refused while it is unblocked: %v", got)
	}
	s.Clock.Advance(9 * time.Minute) // the conversion has not improved
	if got := fail(t, s, 300, 1); got["status"] != "7" {
		t.Fatalf("after the time: %v", got)
	}
	s.Clock.Advance(30 * time.Minute) // the first block lasted 20 minutes
	if got := fail(t, s, 400, 1); got["status"] != "7" {
		t.Errorf("the second block did not hold for an hour: %v", got)
	}
	s.Clock.Advance(31 * time.Minute)
	if got := fail(t, s, 500, 1); got != nil {
		t.Errorf("after the second block: %v", got)
	}
}

func balance(t *testing.T, s *servertest.Server) verify.Money {
	t.Helper()
	c, err := s.Store().Credentials(t.Context(), server.DemoAccount)
	if err != nil {
		t.Fatal(err)
	}
	return c.Balance
}

// TestNetworkUnblockRefuses checks the refusals of network-unblock.
func TestNetworkUnblockRefuses(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, guarded(nil), servertest.Quiet())
	is := func(body string, want int, detail string, invalid ...string) {
		t.Helper()
		code, got := unblock(t, s, body)
		var names []string
		list, _ := got["invalid_parameters"].([]any)
		for _, p := range list {
			names = append(names, p.(map[string]any)["name"].(string))
		}
		if code != want || detail != "" && got["detail"] != detail || fmt.Sprint(names) != fmt.Sprint(invalid) {
			t.Errorf("%s returned %d %v", body, code, got)
		}
		for _, field := range []string{"type", "title", "detail", "instance"} {
			if got[field] == "" || got[field] == nil {
				t.Errorf("response to %s without %s: %v", body, field, got)
			}
		}
	}
	forbidUnblock(t, s, true)
	is(`{"network":"23410"}`, 403, "Your account does not have permission to perform this action.")
	forbidUnblock(t, s, false)
	const none = "The network you provided does not have an active block."
	is(`{"network":"23410"}`, 404, none)
	is(`{"network":23410,"unblock_duration":0,"duration":null}`, 404, none)
	is(`{"network":"23410","unblock_duration":86400}`, 404, none)
	is(`{"network":"23410","unblock_duration":86401}`, 422, "", "unblock_duration")
	is(`{"network":"23410","duration":-1}`, 422, "", "duration")
	is(`{"unblock_duration":"soon"}`, 422, "", "network", "unblock_duration")
	is(`{"network":["23410"]}`, 422, "", "network")
	is(`{"network":`, 422, "", "body")
	is(`{"network":"23410","api_key":"demo0001","api_secret":"wrong"}`, 401, "")

	got := send(t, s.URL(), request{method: http.MethodGet, path: "/verify/network-unblock", params: url.Values{}})
	if got.code != http.StatusMethodNotAllowed || got.header.Get("Allow") != "POST" {
		t.Errorf("GET returned %d %s", got.code, got.body)
	}
	var refusal map[string]any
	if err := json.Unmarshal([]byte(got.body), &refusal); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"type", "title", "detail", "instance"} {
		if text, _ := refusal[field].(string); text == "" {
			t.Errorf("response to GET without %s: %s", field, got.body)
		}
	}
	got = send(t, s.URL(), request{
		path: "/verify/network-unblock", contentType: "application/json", anonymous: true,
		body: `{"network":"23410","duration":null,"api_key":"demo0001","api_secret":"demosecret0001"}`,
	})
	if got.code != http.StatusNotFound {
		t.Errorf("with the credentials in the body it returned %d %s", got.code, got.body)
	}
}

// TestShadow checks that in the demo the rules only report.
func TestShadow(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Quiet())
	if got := fail(t, s, 0, 40); got != nil {
		t.Errorf("refused: %v", got)
	}
	metrics := send(t, s.OpsURL(), request{method: http.MethodGet, path: "/metrics"}).body
	for _, want := range []string{
		`countersign_fraud_blocks_total{action="shadow",rule="conversion"} 1`,
		`countersign_fraud_decisions_total{decision="would_block",rule="conversion"} 10`,
		`countersign_fraud_decisions_total{decision="would_block",rule="sequence"} 33`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for line := range strings.Lines(metrics) {
		if strings.Contains(line, `decision="refused"`) && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("a start was refused: %s", line)
		}
	}
}

// TestPremium checks that expensive numbers are refused unless allowed by prefix.
func TestPremium(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) { o.Config.Fraud.Voice.AllowPrefixes = []string{"8816"} }, servertest.Quiet())
	for number, status := range map[string]string{
		"449098790001":  "15", // premium rate
		"870773123456":  "15", // Inmarsat
		"8816312345678": "0",  // Iridium, allowed
		"447700900123":  "0",
	} {
		got := call(t, s, "/verify/json", form("number", number, "brand", "Acme"))
		if got["status"] != status {
			t.Errorf("%s: %v, want status %s", number, got, status)
		}
	}
}
