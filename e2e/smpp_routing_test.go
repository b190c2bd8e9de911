package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/smsc"
)

// network is an installation with SMSCs that differ in their faults, and a route to each
// combination.
type network struct {
	installation
	server  *server
	ops     string
	smscs   map[string]*smsc.Server
	gateway *gateway
	secrets []string // values in use that output must not contain
}

// Prefixes of numbers, by their route.
const (
	viaRefusing = "44770090010"
	viaLate     = "44770090020"
	viaDeaf     = "44770090030"
	viaDead     = "44770090040"
	viaNone     = "44770090050"
	viaGateway  = "44770090060"
	viaOnce     = "44770090070"
)

const callbackSecret = "callback-secret-of-the-gateway"

// waiting is an account that keeps the schedule after a failed event.
const waiting = "waiter01"

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{smscs: map[string]*smsc.Server{}, gateway: newGateway(t), secrets: []string{smppPassword, callbackSecret, apiSecret, "gatewayPw"}}
	n.ops = quietAddress(t)
	var settings strings.Builder
	fmt.Fprintf(&settings, "ops_listen: %s\ncarriers:\n", n.ops)
	for name, faults := range map[string]string{
		"good": "delay=0", "refusing": "refuse=100%:0x45", "late": "delay=2500ms", "forgetful": "receipt-lose", "deaf": "lose-response", "once": "delay=0",
	} {
		n.smscs[name] = smsc.Start(t, smsc.Config{
			Password: smppPassword, MaxMessages: 100, Faults: smsc.MustFaults(faults), Seed: 1, // the same seed, hence the same message ids
		})
		timeout := "5s"
		if name == "late" || name == "deaf" {
			timeout = "500ms"
		}
		settings.WriteString(viaSMPP(name, n.smscs[name].Addr(), "response_timeout: "+timeout))
	}
	settings.WriteString(viaSMPP("dead", "127.0.0.1:1"))
	settings.WriteString(n.gateway.settings())
	settings.WriteString("routes:\n")
	for prefix, carriers := range map[string]string{
		viaRefusing: "refusing, good", viaLate: "late, forgetful", viaDeaf: "deaf, good", viaDead: "dead, good",
		viaNone: "", viaGateway: "refusing, gateway", viaOnce: "once",
	} {
		fmt.Fprintf(&settings, "  - {prefix: %q, carriers: [%s]}\n", prefix, carriers)
	}
	n.installation = install(t, settings.String(), "--pin-code", "--on-undeliverable", "next_event")
	if out, err := n.run(t, "account", "create", "Waiting", "--key", waiting, "--secret", apiSecret, "--credit", "100", "--pin-code"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.server = n.serve(t)
	for _, srv := range n.smscs {
		awaitBind(t, srv)
	}
	return n
}

// verify starts a verification with a random PIN that cannot occur by chance in another text.
func (n *network) verify(t *testing.T, number string, params ...string) (id, pin string) {
	t.Helper()
	pin = rand.Text()[:10]
	n.secrets = append(n.secrets, pin, number)
	started := n.server.ask(t, "/verify/json", append([]string{"number", number, "brand", "Acme", "pin_code", pin, "workflow_id", "4"}, params...)...)
	started.want(t, "status", "0")
	return started.text(t, "request_id"), pin
}

// took checks how many messages with a PIN an SMSC accepted.
func (n *network) took(t *testing.T, name, pin string, want int) {
	t.Helper()
	got := 0
	for _, m := range n.smscs[name].Messages() {
		if strings.Contains(m.Text, pin) {
			got++
		}
	}
	if got != want {
		t.Errorf("%s accepted %d messages with the PIN, want %d", name, got, want)
	}
}

// TestSMPPRouting checks routing and failover with failing carriers, and their status for the
// operator.
func TestSMPPRouting(t *testing.T) {
	t.Parallel()
	require(t)
	n := newNetwork(t)
	s := n.server
	for _, test := range []struct {
		name string
		run  func(*testing.T, *network)
	}{
		{"refused", testRefused}, {"late", testLate}, {"deaf", testDeaf}, {"dead", testDead},
		{"gateway", testGateway}, {"undeliverable", testUndeliverable},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, n) })
	}
	t.Run("no route", func(t *testing.T) {
		s.ask(t, "/verify/json", "number", viaNone+"1", "brand", "Acme").want(t, "status", "6", "error_text", unableText+"The request could not be routed.")
	})
	t.Run("carriers", func(t *testing.T) { testCarriers(t, n) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, n) })
	for _, secret := range n.secrets {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the program's log contains %s", secret)
		}
	}
}

// testRefused checks failover after a refusal.
func testRefused(t *testing.T, n *network) {
	id, pin := n.verify(t, viaRefusing+"1")
	n.server.awaitState(t, id, "delivered")
	n.took(t, "good", pin, 1)
	n.server.ask(t, "/verify/check/json", "request_id", id, "code", pin).want(t, "status", "0")
}

// testLate checks a response after failover to another carrier, which sends no receipt. The late
// response and its receipt still count.
func testLate(t *testing.T, n *network) {
	id, pin := n.verify(t, viaLate+"1")
	awaitMessages(t, n.smscs["forgetful"], 1)
	n.server.awaitState(t, id, "accepted")
	n.server.awaitState(t, id, "delivered")
	n.took(t, "late", pin, 1)
	n.took(t, "forgetful", pin, 1)
}

// testDeaf checks that a message without a response is resent over another carrier.
func testDeaf(t *testing.T, n *network) {
	id, pin := n.verify(t, viaDeaf+"1")
	n.server.awaitState(t, id, "delivered")
	n.took(t, "deaf", pin, 1)
	n.took(t, "good", pin, 1)
}

// testDead checks that routing immediately skips a carrier that is not bound.
func testDead(t *testing.T, n *network) {
	began := time.Now()
	id, pin := n.verify(t, viaDead+"1")
	n.server.awaitState(t, id, "delivered")
	n.took(t, "good", pin, 1)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("delivery took %v, want at most 2 s", took)
	}
}

// testGateway checks failover to an HTTP carrier, and its callback.
func testGateway(t *testing.T, n *network) {
	id, pin := n.verify(t, viaGateway+"1")
	n.server.awaitState(t, id, "accepted")
	got := n.gateway.last()
	got.want(t, "to", viaGateway+"1", "text", fmt.Sprintf("Acme code: %s. Valid for 5 minutes.", pin))
	report := func(secret string) int {
		t.Helper()
		body := fmt.Sprintf(`{"id": %q, "status": "delivered"}`, got["id"])
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.server.url+"/carriers/gateway/receipts", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := n.server.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for _, wrong := range []string{"", "x", callbackSecret + "x"} {
		if status := report(wrong); status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Errorf("a receipt with the secret %q is answered with %d", wrong, status)
		}
	}
	n.server.awaitState(t, id, "accepted")
	if status := report(callbackSecret); status/100 != 2 {
		t.Errorf("a receipt is answered with %d", status)
	}
	n.server.awaitState(t, id, "delivered")
}

// testUndeliverable checks that an account with next_event gets the next event immediately after a
// refused or undeliverable one, and that another account waits.
func testUndeliverable(t *testing.T, n *network) {
	for i, fault := range []string{"refuse=1x", "undeliverable=1x"} {
		n.smscs["once"].SetFaults(smsc.MustFaults(fault))
		waits, _ := n.verify(t, fmt.Sprint(viaOnce, 2*i), "api_key", waiting)
		want := []string{"refused", "undeliverable"}[i]
		events := func() []fields {
			return n.server.ask(t, "/verify/search/json", "api_key", waiting, "request_id", waits).list(t, "events")
		}
		await.Until(t, "an event that is "+want, func() bool { return events()[0]["status"] == want })

		// The second event of a later verification shows that enough time has passed for the first.
		n.smscs["once"].SetFaults(smsc.MustFaults(fault))
		id, _ := n.verify(t, fmt.Sprint(viaOnce, 2*i+1))
		awaitEvents(t, n.server, id, 2)
		n.server.awaitState(t, id, "delivered")
		if got := events(); len(got) != 1 {
			t.Errorf("got events %v, want no second one yet", got)
		}
	}
}

func awaitEvents(t *testing.T, s *server, id string, n int) {
	t.Helper()
	await.Until(t, fmt.Sprint(n, " events"), func() bool { return len(s.found(t, id).list(t, "events")) >= n })
}

// testCarriers checks "countersign carriers".
func testCarriers(t *testing.T, n *network) {
	// A message may replace the failure of "dead" until its next connection fails.
	lines := map[string]string{}
	var out string
	await.Until(t, "a failed connection of the dead carrier", func() bool {
		var err error
		out, err = n.run(t, "carriers")
		if err != nil {
			t.Fatal(err, out)
		}
		for line := range strings.Lines(out) {
			lines[strings.Fields(line)[0]] = line
		}
		return strings.Contains(lines["dead"], "refused")
	})
	for name, want := range map[string][]string{
		"good":     {"smpp", " up ", "1/1", "0/10"},
		"dead":     {"smpp", " down ", "0/1", "connect to 127.0.0.1:1", "refused"},
		"refusing": {"smpp", " up ", "1/1", "ESME_RSUBMITFAIL"},
		"deaf":     {"smpp", " up ", "no response in time"},
		"gateway":  {"httpsms", " up "},
	} {
		for _, word := range want {
			if !strings.Contains(lines[name], word) {
				t.Errorf("got %q, want %q in it", lines[name], word)
			}
		}
	}
	text, err := n.run(t, "carriers", "--json")
	if err != nil {
		t.Fatal(err, text)
	}
	var list []fields
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != len(n.smscs)+2 {
		t.Errorf("got %d carriers, %v", len(list), err)
	}
	n.silent(t, "countersign carriers", out+text)
}

// testMetrics checks the metrics for Prometheus.
func testMetrics(t *testing.T, n *network) {
	status, text := page(t, "http://"+n.ops+"/metrics")
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	for _, want := range []string{
		`countersign_smpp_binds{carrier="good"} 1`,
		`countersign_smpp_binds{carrier="dead"} 0`,
		`countersign_smpp_submissions_total{carrier="refusing",status="ESME_RSUBMITFAIL"}`,
		`countersign_smpp_submissions_total{carrier="deaf",status="timeout"} 1`,
		`countersign_smpp_late_responses_total{carrier="late"} 1`,
		`countersign_smpp_pdus_received_total{carrier="good",kind="receipt"} 3`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics do not contain %s", want)
		}
	}
	n.silent(t, "the metrics", text)
}

// silent checks that a text contains no secret.
func (n *network) silent(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range n.secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s: contains the secret %q", what, secret)
		}
	}
}

// gateway is an HTTP-to-SMS gateway.
type gateway struct {
	url string

	mu  sync.Mutex
	got []fields
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	g.url = s.URL
	return g
}

func (g *gateway) settings() string {
	return fmt.Sprintf(`  - name: gateway
    type: httpsms
    http:
      url: %s/send
      headers: ["Content-Type: application/json"]
      basic_user: acme
      basic_password: gatewayPw
      body: '{"to": "{{.To}}", "text": "{{.Text}}", "id": "{{.EventID}}"}'
      success: ["http 200-299"]
      ref: id
      receipts: {secret: %s, ref: id, status: status}
`, g.url, callbackSecret)
}

// ServeHTTP accepts a message, and returns the id of its request.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m fields
	user, password, _ := r.BasicAuth()
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || user != "acme" || password != "gatewayPw" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, m)
	_ = json.NewEncoder(w).Encode(fields{"id": m["id"]}) // an error means that the client has gone
}

func (g *gateway) last() fields {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got[len(g.got)-1]
}
