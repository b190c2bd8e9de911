package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// TestHosts checks the hosts of each kind of listener.
func TestHosts(t *testing.T) {
	t.Parallel()
	names := []string{"Verify.example.com", "*.example.net", "203.0.113.5", "2001:db8::5"}
	listeners := []web.Hosts{
		{Loopback: true},
		{Loopback: true, Pages: true},
		{Loopback: true, Names: names},
		{},
		{Pages: true},
		{Names: names},
		{Names: names, Pages: true},
	}
	const every, public, api = "yyyyyyy", "nnnyyyy", "nnnynnn"
	for host, want := range map[string]string{
		"localhost": every, "localhost:8080": every, "LocalHost:1": every, "localhost.": every, "a.b.localhost:80": every,
		"127.0.0.1": every, "127.0.0.1:8080": every, "127.8.9.1": every, "[::1]": every, "[::1]:8080": every, "::1": every,
		"[::ffff:127.0.0.1]:80": every,

		"verify.example.com": "nnyynyy", "VERIFY.example.com:443": "nnyynyy", "verify.example.com.": "nnyynyy", "a.example.net": "nnyynyy",
		"203.0.113.5": "nnyyyyy", "[2001:db8::5]:80": "nnyyyyy",

		"192.0.2.7": public, "192.0.2.7:80": public, "[2001:db8::1]": public, "[fe80::1%25eth0]:80": public, "0.0.0.0:8080": public,
		"evil.example": api, "localhost.evil.example": api, "127.0.0.1.evil.example": api, "evillocalhost.com": api,
		"verify.example.com.evil.example": api, "example.net": api, "notexample.net": api,
		"countersign:8080": "nnnyynn",

		"": "nnnnnnn", ":8080": "nnnnnnn", "[::1": "nnnnnnn", ".": "nnnnnnn", "[]": "nnnnnnn",
	} {
		got := ""
		for _, l := range listeners {
			got += map[bool]string{true: "y", false: "n"}[l.Serve(host)]
		}
		if got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
}

// TestGate sends requests as browsers and other clients do.
func TestGate(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	clock := clockwork.NewFakeClock()
	gate, err := web.Gate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }), web.GateConfig{
		Hosts:    web.Hosts{Loopback: true, Names: []string{"verify.example.com", "2001:db8::1", "*.example.net"}},
		Writes:   func(r *http.Request) bool { return r.URL.Path == "/write" },
		Refuse:   web.RefuseText,
		Listener: "api", Log: slog.New(slog.NewTextHandler(&log, nil)), Clock: clock, Metrics: web.NewRefusals(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		method, path, host, site, origin string
		http10                           bool
		code                             int
	}{
		"curl":                         {method: "POST", path: "/write", host: "localhost", code: 200},
		"rebound name":                 {method: "GET", path: "/", host: "evil.example", site: "same-origin", code: 421},
		"rebound name, POST":           {method: "POST", path: "/", host: "evil.example:8080", site: "same-origin", code: 421},
		"HTTP/1.0 without host":        {method: "GET", path: "/", http10: true, code: 200},
		"HTTP/1.1 without host":        {method: "GET", path: "/", code: 421},
		"other site, POST":             {method: "POST", path: "/", host: "localhost", site: "cross-site", code: 403},
		"other site, PUT":              {method: "PUT", path: "/", host: "localhost", site: "cross-site", code: 403},
		"other site, DELETE":           {method: "DELETE", path: "/", host: "localhost", site: "same-site", code: 403},
		"other site, GET":              {method: "GET", path: "/", host: "localhost", site: "cross-site", code: 200},
		"other site, GET that writes":  {method: "GET", path: "/write", host: "localhost", site: "cross-site", code: 403},
		"address bar":                  {method: "GET", path: "/write", host: "localhost", site: "none", code: 200},
		"own page":                     {method: "POST", path: "/write", host: "localhost", site: "same-origin", code: 200},
		"old browser, other site":      {method: "POST", path: "/", host: "localhost", origin: "https://evil.example", code: 403},
		"old browser, sandboxed":       {method: "POST", path: "/", host: "localhost", origin: "null", code: 403},
		"old browser, own page":        {method: "POST", path: "/", host: "localhost:8080", origin: "http://localhost:8080", code: 200},
		"old browser, through a proxy": {method: "POST", path: "/", host: "127.0.0.1:8080", origin: "https://verify.example.com", code: 200},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil)
		r.Host = tt.host
		if tt.http10 {
			r.ProtoMinor = 0
		}
		for header, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Origin": tt.origin} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		w := httptest.NewRecorder()
		gate.ServeHTTP(w, r)
		if w.Code != tt.code || (w.Body.String() == "served") != (tt.code == 200) {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, tt.code)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "server.names") {
		t.Errorf("log: %s", got)
	}
}

// TestRefusalsBeginAtZero checks that the series of each reason exist before the first
// refusal, and that each refusal is counted by its reason.
func TestRefusalsBeginAtZero(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	gate := gated(t, http.NotFoundHandler(), slog.New(slog.DiscardHandler), reg, web.RefuseText)
	for _, want := range []string{`reason="host"} 0`, `reason="site"} 0`} {
		if text := exposition(t, reg); !strings.Contains(text, `countersign_http_requests_refused_total{listener="api",`+want) {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
	for _, host := range []string{"", "localhost", "192.0.2.1"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Host = host
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		gate.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, want := range []string{`reason="host"} 1`, `reason="site"} 2`} {
		if text := exposition(t, reg); !strings.Contains(text, `countersign_http_requests_refused_total{listener="api",`+want) {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
}
