package apiv1_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/servertest"
	"countersign/internal/verify"
)

// from sends a request with the demo's credentials as a client behind a proxy, and
// returns the status of the response.
func from(t *testing.T, s *servertest.Server, address, path string, pairs ...string) (status string) {
	t.Helper()
	params := form(pairs...)
	params.Set("api_key", server.DemoAccount)
	params.Set("api_secret", server.DemoSecret)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(params.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-For", address)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Status string }
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s returned %d %s", path, resp.StatusCode, body)
	}
	return got.Status
}

// wantMetric fails unless the server's metrics have a line.
func wantMetric(t *testing.T, s *servertest.Server, line string) {
	t.Helper()
	metrics := send(t, s.OpsURL(), request{method: http.MethodGet, path: "/metrics"}).body
	if !strings.Contains(metrics, line+"\n") {
		t.Errorf("metrics lack %s", line)
	}
}

// TestSourceOfStarts checks that an address with too many starts is throttled for a time,
// with its whole IPv6 network and without charges. Others are not affected.
func TestSourceOfStarts(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Quiet(), func(o *server.Options) { o.Config.TrustedProxies = []string{"127.0.0.0/8"} },
		guarded(func(r *config.FraudRules) {
			r.Source = config.SourceRule{Mode: "enforce", Window: time.Hour, Starts: 2, Blocks: []time.Duration{10 * time.Minute}}
		}))
	const first, same, other = "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"
	begin := func(address, number string) string {
		return from(t, s, address, "/verify/json", "number", number, "brand", "Acme")
	}
	for number, address := range map[string]string{"447700900001": first, "447700900002": same} {
		if got := begin(address, number); got != "0" {
			t.Fatalf("a start from %s: status %s", address, got)
		}
	}
	before := balance(t, s)
	for _, address := range []string{first, same} {
		if got := begin(address, "447700900003"); got != "1" {
			t.Errorf("a third start from %s: status %s, want 1", address, got)
		}
	}
	if after := balance(t, s); after != before {
		t.Errorf("the balance changed from %v to %v", before, after)
	}
	if got := begin(other, "447700900004"); got != "0" {
		t.Errorf("a start from another network: status %s", got)
	}
	wantMetric(t, s, `countersign_fraud_decisions_total{decision="refused",rule="source"} 2`)
	wantMetric(t, s, `countersign_fraud_blocks_total{action="block",rule="source"} 1`)
	s.Clock.Advance(70 * time.Minute) // after the block and the window
	if got := begin(first, "447700900005"); got != "0" {
		t.Errorf("after the block: status %s", got)
	}
}

// TestSourceOfChecks checks that after too many wrong codes from one address (ip_address
// of the check), further checks from it are throttled, even with the right code, and are
// not recorded. Checks from other addresses are not throttled.
func TestSourceOfChecks(t *testing.T) {
	t.Parallel()
	for mode, status := range map[config.Mode]string{"enforce": "1", "shadow": "0"} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, servertest.Quiet(), guarded(func(r *config.FraudRules) {
				r.Source = config.SourceRule{Mode: mode, Window: time.Hour, FailedChecks: 3, Blocks: []time.Duration{10 * time.Minute}}
			}))
			check := func(id, code, address string) string {
				return call(t, s, "/verify/check/json", form("request_id", id, "code", code, "ip_address", address))["status"]
			}
			for _, number := range []string{"447700900011", "447700900012", "447700900013"} {
				if got := check(startOn(t, s, number, "pin_code", "4711"), "1234", "192.0.2.7"); got != "16" {
					t.Fatalf("a wrong code: status %s", got)
				}
			}
			id := startOn(t, s, "447700900014", "pin_code", "4711")
			if got := check(id, "4711", "192.0.2.7"); got != status {
				t.Errorf("the right code from the blocked address: status %s, want %s", got, status)
			}
			if mode == "shadow" {
				wantMetric(t, s, `countersign_fraud_decisions_total{decision="would_block",rule="source"} 1`)
				return
			}
			found := s.Post("/verify/search/json", form("request_id", id))
			if checks, _ := found["checks"].([]any); len(checks) != 0 || found["status"] != "IN PROGRESS" {
				t.Errorf("the verification is %v, want it without a check", found)
			}
			if got := check(id, "4711", "192.0.2.8"); got != "0" {
				t.Errorf("the right code from another address: status %s", got)
			}
			wantMetric(t, s, `countersign_fraud_decisions_total{decision="refused",rule="source"} 1`)
		})
	}
}

// TestCallsToPrefix checks that a call beyond the limit of a prefix is refused, and the
// verification continues. The limit does not apply to SMS or to calls to other prefixes.
func TestCallsToPrefix(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Quiet(), guarded(nil), func(o *server.Options) {
		o.Config.Fraud.Voice = config.FraudVoice{Mode: "enforce", CallsPerHour: 1, Blocks: []time.Duration{10 * time.Minute}}
	})
	const first, second, elsewhere = "447700900021", "447700900022", "447701900023"
	callTo := func(number string, want verify.EventState) {
		t.Helper()
		id := startOn(t, s, number, "workflow_id", "7") // calls only
		e := waitSettled(t, s, id, 1).Events[0]
		if e.Channel != verify.TTS || e.State != want {
			t.Errorf("the call to %s is %+v, want it %s", number, e, want)
		}
		if got := search(t, s, id)["status"]; got != "IN PROGRESS" {
			t.Errorf("the verification of %s is %s", number, got)
		}
	}
	callTo(first, verify.EventAccepted)
	callTo(elsewhere, verify.EventAccepted)
	callTo(second, verify.EventRefused)
	wantMetric(t, s, `countersign_fraud_decisions_total{decision="refused",rule="voice"} 1`)
	if got := s.Messages(second); len(got) != 0 {
		t.Errorf("the call was sent: %+v", got)
	}
	startOn(t, s, "447700900024", "workflow_id", "6") // SMS only
	s.WaitMessages("447700900024", 1)
	s.Clock.Advance(70 * time.Minute)
	callTo(second, verify.EventAccepted)
	if got := s.WaitMessages(second, 1); got[0].Channel != "tts" {
		t.Errorf("message after the block: %+v, want a call", got)
	}
}

// TestCountryRule checks that after the next comparison an account with a sudden volume
// of starts in a country is refused there, and in no other country.
func TestCountryRule(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Quiet(), guarded(func(r *config.FraudRules) {
		r.Country = config.CountryRule{Mode: "enforce", Starts: 3, Sigma: 6, Blocks: []time.Duration{time.Hour}}
	}))
	startOn(t, s, "33612345678")
	s.Clock.Advance(61 * time.Hour) // long use of the account
	startOn(t, s, "33612345679")
	for _, number := range []string{"447700900031", "447700900032", "447700900033", "447700900034"} {
		startOn(t, s, number)
	}
	s.Clock.Advance(5 * time.Minute)
	await.Until(t, "blocked", func() bool {
		s.Clock.Advance(time.Second) // a run in progress repeats the comparison next time
		blocked := call(t, s, "/verify/json", form("number", "447700900035", "brand", "Acme"))
		return blocked["status"] == "7" && blocked["error_text"] == textBlocked
	})
	if got := call(t, s, "/verify/json", form("number", "33612345670", "brand", "Acme")); got["status"] != "0" {
		t.Errorf("another country: %v", got)
	}
	wantMetric(t, s, `countersign_fraud_blocks_total{action="block",rule="country"} 1`)
}
