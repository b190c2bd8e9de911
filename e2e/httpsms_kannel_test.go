package e2e

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHTTPKannel sends through Kannel with the settings of docs/how-to/connect-an-http-gateway.md.
// Kannel returns no message ids: its receipts refer to messages by the ids of the server.
func TestHTTPKannel(t *testing.T) {
	t.Parallel()
	require(t, "bearerbox", "smsbox")
	smsc := rehearse(t, "--system-id", "kannel", "--password", "gateway", "--receipts", "text",
		"--fault", "undeliverable=447700900202", "--fault", "refuse=1x:0x0B")

	// The address of the server, set after the settings that contain the public address.
	var target atomic.Pointer[url.URL]
	public := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target.Load()) }})
	t.Cleanup(public.Close)

	settings := kannelSettings(t, startKannel(t, smsc.port(t)), public.URL)
	s := install(t, settings+"routes: [{channel: sms, carriers: [kannel]}]\n").serve(t)
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	target.Store(at)

	for _, tt := range []struct{ name, number, brand, want string }{
		{"rejected by the SMSC", "447700900200", "Acme", "rejected"},
		{"delivered", "447700900201", "Grüße & Co", "delivered"},
		{"undeliverable", "447700900202", "Acme", "undeliverable"},
		{"UCS-2", "447700900203", "인증", "delivered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.ask(t, "/verify/json", "number", tt.number, "brand", tt.brand)
			got.want(t, "status", "0")
			id, _ := got["request_id"].(string)
			s.awaitState(t, id, tt.want)
			if tt.want != "rejected" {
				if text, _ := smsc.await(t, tt.number, "text")["text"].(string); !strings.HasPrefix(text, tt.brand+" code: ") {
					t.Errorf("the phone received %q, want a text of the brand", text)
				}
			}
		})
	}
}

// kannelSettings returns the settings of the page for operators, with a Kannel at address and
// the callback at public.
func kannelSettings(t *testing.T, address, public string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/how-to/connect-an-http-gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(page), "```yaml\ncarriers:\n  - name: kannel\n")
	if !ok {
		t.Fatal("the page has no settings for Kannel")
	}
	block, _, _ = strings.Cut(block, "```")
	for _, change := range [][2]string{
		{"http://127.0.0.1:13013", address}, {"https%3A%2F%2Fverify.example.com", url.QueryEscape(public)},
		{"KANNEL_USER", "tests"}, {"KANNEL_PASSWORD", "tests"}, {"CALLBACK_SECRET", "callback-secret-0123"},
	} {
		if !strings.Contains(block, change[0]) {
			t.Fatalf("the settings for Kannel have no %s", change[0])
		}
		block = strings.ReplaceAll(block, change[0], change[1])
	}
	return "carriers:\n  - name: kannel\n" + block
}
