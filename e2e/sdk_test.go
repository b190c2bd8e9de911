package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/await"
)

// TestSDK verifies numbers with the vendor's own SDKs for Node.
func TestSDK(t *testing.T) {
	t.Parallel()
	// At this speed a verification can be cancelled after 3 s instead of 30 s; its second event
	// follows after 12.5 s.
	s := start(t, "--speed", "10")
	credentials := []string{"SERVER_URL=" + s.url, "API_KEY=" + apiKey, "API_SECRET=" + apiSecret}
	signing := append(slices.Clip(credentials), "SIGNATURE_SECRET="+signatureSecret, "SIGNATURE_METHOD=sha256")

	for _, sdk := range []struct {
		name     string
		file     string
		settings []string
		several  bool // searches for several ids in one call
	}{
		{name: "vonage", file: "vonage.mjs", settings: credentials},
		{name: "nexmo", file: "nexmo.mjs", settings: credentials, several: true},
		{name: "nexmo signing", file: "nexmo.mjs", settings: signing},
	} {
		t.Run(sdk.name, func(t *testing.T) {
			t.Parallel()
			c := run(t, sdk.file, sdk.settings...)
			for name, test := range map[string]func(*testing.T, *server, *client){
				"start and check":         testStartAndCheck,
				"wrong codes":             testWrongCodes,
				"cancel":                  testCancel,
				"trigger next event":      testTriggerNextEvent,
				"payment":                 testPayment,
				"parameters":              testParameters,
				"concurrent verification": testConcurrent,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, s, c)
				})
			}
			if sdk.several {
				t.Run("search several", func(t *testing.T) {
					t.Parallel()
					testSearchSeveral(t, s, c)
				})
			}
		})
	}
}

// begin starts a verification of a new number and waits for its first message.
func begin(t *testing.T, s *server, c *client) (requestID string, sms message) {
	t.Helper()
	number := s.newNumber()
	started := c.call(t, "start", fields{"number": number, "brand": "Acme"})
	started.want(t, "status", "0")
	requestID = started.text(t, "request_id")
	sms = s.await(t, number, 1)
	if sms.Channel != "sms" || sms.RequestID != requestID {
		t.Fatalf("got %+v, want the SMS for %s", sms, requestID)
	}
	return requestID, sms
}

func testStartAndCheck(t *testing.T, s *server, c *client) {
	t.Helper()
	id, sms := begin(t, s, c)
	c.call(t, "search", id).want(t, "request_id", id, "status", "IN PROGRESS", "date_finalized", "")

	checked := c.call(t, "check", id, sms.pin(t))
	checked.want(t, "status", "0", "request_id", id, "event_id", sms.EventID, "price", "0.12050000", "currency", "USD")
	if text, ok := checked["error_text"]; ok {
		t.Errorf("a successful check has error_text %v", text)
	}

	found := c.call(t, "search", id)
	found.want(t, "request_id", id, "account_id", apiKey, "status", "SUCCESS", "number", sms.Number, "price", "0.12050000")
	finalized, err := time.Parse(time.DateTime, found.text(t, "date_finalized"))
	if age := time.Since(finalized); err != nil || age < 0 || age > time.Minute {
		t.Errorf("got date_finalized %v (%v), want the present in UTC", found["date_finalized"], err)
	}
	if checks := found.list(t, "checks"); len(checks) != 1 || checks[0]["status"] != "VALID" {
		t.Errorf("got checks %v, want one VALID", checks)
	}
	if events := found.list(t, "events"); len(events) != 1 || events[0]["type"] != "sms" || events[0]["id"] != sms.EventID {
		t.Errorf("got events %v, want the SMS", events)
	}
	c.call(t, "check", id, sms.pin(t)).want(t, "status", "6") // the verification has ended
}

func testWrongCodes(t *testing.T, s *server, c *client) {
	t.Helper()
	id, sms := begin(t, s, c)
	for _, status := range []string{"16", "16", "17"} {
		refused := c.call(t, "check", id, wrong(sms.pin(t)))
		refused.want(t, "status", status)
		refused.text(t, "error_text")
	}
	c.call(t, "check", id, sms.pin(t)).want(t, "status", "6") // ended after three wrong codes
	found := c.call(t, "search", id)
	found.want(t, "status", "FAILED")
	if checks := found.list(t, "checks"); len(checks) != 3 {
		t.Errorf("got checks %v, want three", checks)
	}
}

func testCancel(t *testing.T, s *server, c *client) {
	t.Helper()
	id, sms := begin(t, s, c)
	early := c.call(t, "cancel", id)
	early.want(t, "status", "19")
	if text := early.text(t, "error_text"); !strings.Contains(text, id) || !strings.Contains(text, "within the first 30 seconds") {
		t.Errorf("got error_text %q, want the request and the rule", text)
	}
	var answer fields
	await.Until(t, "an accepted cancel after 30 seconds", func() bool {
		answer = c.call(t, "cancel", id)
		return answer["status"] != "19"
	})
	answer.want(t, "status", "0", "command", "cancel")
	c.call(t, "search", id).want(t, "status", "CANCELLED")
	c.call(t, "check", id, sms.pin(t)).want(t, "status", "6")
}

func testTriggerNextEvent(t *testing.T, s *server, c *client) {
	t.Helper()
	id, sms := begin(t, s, c)
	c.call(t, "trigger", id).want(t, "status", "0", "command", "trigger_next_event")
	call := s.await(t, sms.Number, 2)
	if call.Channel != "tts" || call.AudioURL == "" {
		t.Errorf("got %+v, want a call", call)
	}
	if call.pin(t) != sms.pin(t) {
		t.Errorf("the call has PIN %s, the SMS %s", call.pin(t), sms.pin(t))
	}
	c.call(t, "trigger", id).want(t, "status", "0")
	s.await(t, sms.Number, 3)
	c.call(t, "trigger", id).want(t, "status", "19") // no event left
	c.call(t, "check", id, call.pin(t)).want(t, "status", "0")
}

func testPayment(t *testing.T, s *server, c *client) {
	t.Helper()
	number := s.newNumber()
	started := c.call(t, "psd2", fields{"number": number, "payee": "Acme", "amount": 48.5, "lg": "en-gb"})
	started.want(t, "status", "0")
	sms := s.await(t, number, 1)
	if !strings.Contains(sms.Text, "Acme") || !strings.Contains(sms.Text, "48.50") {
		t.Errorf("got %q, want the payee and the amount", sms.Text)
	}
}

// testParameters starts with all parameters that the SDKs support, numeric ones as numbers.
func testParameters(t *testing.T, s *server, c *client) {
	t.Helper()
	number := s.newNumber()
	started := c.call(t, "start", fields{
		"number":          "0" + strings.TrimPrefix(number, "44"),
		"country":         "GB",
		"brand":           "Café Sao",
		"sender_id":       "ACME",
		"code_length":     6,
		"lg":              "fr-fr",
		"pin_expiry":      120,
		"next_event_wait": 60,
		"workflow_id":     4,
	})
	started.want(t, "status", "0")
	sms := s.await(t, number, 1)
	if pin := sms.pin(t); len(pin) != 6 {
		t.Errorf("got PIN %s, want 6 digits", pin)
	}
	if sms.From != "ACME" || !strings.Contains(sms.Text, "Café Sao") {
		t.Errorf("got %+v, want sender ACME and brand Café Sao", sms)
	}
	c.call(t, "search", started["request_id"]).want(t, "number", number, "sender_id", "ACME")
}

func testConcurrent(t *testing.T, s *server, c *client) {
	t.Helper()
	id, sms := begin(t, s, c)
	again := c.call(t, "start", fields{"number": sms.Number, "brand": "Acme"})
	again.want(t, "status", "10", "request_id", id)
}

func testSearchSeveral(t *testing.T, s *server, c *client) {
	t.Helper()
	first, _ := begin(t, s, c)
	second, _ := begin(t, s, c)
	found := c.call(t, "search", []string{first, second}).list(t, "verification_requests")
	if len(found) != 2 {
		t.Fatalf("got %v, want two", found)
	}
	for i, id := range []string{first, second} {
		found[i].want(t, "request_id", id, "status", "IN PROGRESS")
	}
}

// TestSDKRefused checks that the SDKs return a refusal as a result with a status, not as an
// exception.
func TestSDKRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, file := range []string{"vonage.mjs", "nexmo.mjs"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			stranger := run(t, file, "SERVER_URL="+s.url, "API_KEY="+apiKey, "API_SECRET=wrong")
			stranger.call(t, "start", fields{"number": s.newNumber(), "brand": "Acme"}).want(t, "status", "4")

			c := run(t, file, "SERVER_URL="+s.url, "API_KEY="+apiKey, "API_SECRET="+apiSecret)
			c.call(t, "start", fields{"number": "12", "brand": "Acme"}).
				want(t, "status", "3", "error_text", "Invalid value for param: number (too short)")
			c.call(t, "search", strings.Repeat("0", 32)).want(t, "status", "101", "error_text", "No response found")
		})
	}
}

// TestNexmoSignatures signs with each method of the SDK. An account accepts only the
// configured method.
func TestNexmoSignatures(t *testing.T) {
	t.Parallel()
	s := start(t)
	for method, status := range map[string]string{
		"sha256": "0", "sha512": "4", "sha1": "4", "md5": "4", "md5hash": "4",
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			c := run(t, "nexmo.mjs", "SERVER_URL="+s.url, "API_KEY="+apiKey, "API_SECRET=not sent",
				"SIGNATURE_SECRET="+signatureSecret, "SIGNATURE_METHOD="+method)
			c.call(t, "start", fields{"number": s.newNumber(), "brand": "Acme"}).want(t, "status", status)
		})
	}
}

// TestSDKOverTLS verifies a number over https, with the certificate that the demo generates.
func TestSDKOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, "--tls")
	c := run(t, "vonage.mjs", "SERVER_URL="+s.url, "API_KEY="+apiKey, "API_SECRET="+apiSecret,
		"NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "cert.pem"))
	id, sms := begin(t, s, c)
	c.call(t, "check", id, sms.pin(t)).want(t, "status", "0")
}
