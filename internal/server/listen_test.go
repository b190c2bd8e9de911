package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"countersign/internal/server"
	"countersign/internal/vault"
)

// journal is a log for concurrent reading and writing.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// dial connects to a listener until the test ends.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestFlood checks that idle connections beyond the limit do not exclude clients with
// valid credentials or operators, and that a kept-alive client keeps its connection.
func TestFlood(t *testing.T) {
	t.Parallel()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	opts.Config.Limits.Connections = 4
	opts.Config.Admin.Listen, opts.Config.Admin.TokenFile = "127.0.0.1:0", filepath.Join(t.TempDir(), "token")
	var log journal
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	r := run(t, opts)
	defer r.halt()

	kept := dial(t, r.URL())
	reader := bufio.NewReader(kept)
	search := func() int {
		form := url.Values{"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret}, "request_id": {strings.Repeat("a", 32)}}.Encode()
		fmt.Fprintf(kept, "POST /verify/search/json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(form), form)
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Error(err)
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	search()
	for range 40 {
		dial(t, r.URL())
	}
	for i := range 10 {
		if _, err := r.start(fmt.Sprintf("44770090010%d", i)); err != nil {
			t.Errorf("a new client: %v", err)
		}
		r.client.CloseIdleConnections()
		dial(t, r.URL())
	}
	if code := search(); code != http.StatusOK {
		t.Errorf("a kept-alive client: %d", code)
	}
	for range 40 {
		dial(t, r.OpsURL())
		dial(t, r.AdminURL())
	}
	for address, want := range map[string]int{r.OpsURL() + "/readyz": 200, r.AdminURL() + "/admin/v1/audit": 401} {
		if code, body := get(t, r.client, address, ""); code != want {
			t.Errorf("%s: %d %s", address, code, body)
		}
	}
	for _, listener := range []string{"api", "ops", "admin"} {
		if n := strings.Count(log.String(), `msg="connection limit reached; closing the longest idle connections without valid credentials" listener=`+listener); n != 1 {
			t.Errorf("%d log lines for %s", n, listener)
		}
	}
	if _, body := get(t, r.client, r.OpsURL()+"/metrics", ""); strings.Contains(body, `countersign_connections_closed_total{listener="api",reason="all"} 0`) {
		t.Error("no metric")
	}
}

func get(t *testing.T, client *http.Client, address, host string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(body)
}

// TestRebinding checks that each listener refuses the host of another site. On a public
// listener, the API serves every name until server.names is set, and pages never do.
func TestRebinding(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		listen string
		names  []string
		codes  map[string][4]int // status of API, phone, operations and admin, by host
	}{
		"loopback": {"127.0.0.1:0", nil, map[string][4]int{
			"": {200, 200, 200, 401}, "localhost": {200, 200, 200, 401},
			"evil.example": {421, 421, 421, 421}, "192.0.2.1": {421, 421, 421, 421}, "verify.example.com": {421, 421, 421, 421},
		}},
		"loopback behind a proxy": {"127.0.0.1:0", []string{"verify.example.com"}, map[string][4]int{
			"": {200, 200, 200, 401}, "verify.example.com": {200, 200, 200, 401}, "evil.example": {421, 421, 421, 421},
		}},
		"public": {"0.0.0.0:0", nil, map[string][4]int{
			"": {200, 200, 200, 401}, "192.0.2.1": {200, 200, 200, 421}, "verify.example.com": {200, 421, 200, 421}, "verify": {200, 200, 200, 421},
		}},
		"public with names": {"0.0.0.0:0", []string{"verify.example.com"}, map[string][4]int{
			"": {200, 200, 200, 401}, "192.0.2.1": {200, 200, 200, 421}, "verify.example.com": {200, 200, 200, 401}, "evil.example": {421, 421, 421, 421},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
			opts.Config.Listen, opts.Config.OpsListen, opts.Config.Server.Names = tt.listen, tt.listen, tt.names
			opts.Config.Admin.Listen, opts.Config.Admin.TokenFile = "127.0.0.1:0", filepath.Join(t.TempDir(), "token")
			r := run(t, opts)
			defer r.halt()
			local := strings.NewReplacer("[::]", "127.0.0.1", "0.0.0.0", "127.0.0.1")
			for host, codes := range tt.codes {
				for i, address := range []string{
					r.URL() + "/verify/search/json", r.URL() + "/phone/api/messages", r.OpsURL() + "/healthz", r.AdminURL() + "/admin/v1/audit",
				} {
					if code, body := get(t, r.client, local.Replace(address), host); code != codes[i] {
						t.Errorf("Host %q of %s: %d %s, want %d", host, address, code, body, codes[i])
					}
				}
			}
		})
	}
}

// TestHostOfAdminURL checks that the admin listener serves the host of admin.url, on the
// loopback without server.names.
func TestHostOfAdminURL(t *testing.T) {
	t.Parallel()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	opts.Config.Admin.Listen, opts.Config.Admin.TokenFile = "127.0.0.1:0", filepath.Join(t.TempDir(), "token")
	opts.Config.Admin.URL = "https://admin.example.com:9443"
	r := run(t, opts)
	defer r.halt()
	for host, want := range map[string]int{"admin.example.com": http.StatusUnauthorized, "evil.example": http.StatusMisdirectedRequest} {
		if code, body := get(t, r.client, r.AdminURL()+"/admin/v1/audit", host); code != want {
			t.Errorf("Host %q: %d %s, want %d", host, code, body, want)
		}
	}
}

// TestOtherSites checks that browsers cannot use the API for a page of another site.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	r := run(t, options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey()))
	defer r.halt()
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{http.MethodPost, "/verify/json", 403}, {http.MethodGet, "/verify/json", 403}, {http.MethodGet, "//verify/xml", 403},
		{http.MethodGet, "/verify/control/json", 403}, {http.MethodPost, "/verify/search/json", 403},
		{http.MethodGet, "/verify/search/json", 200}, {http.MethodGet, "/phone", 200}, {http.MethodPost, "/phone", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, r.URL()+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.code {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, resp.StatusCode, tt.code)
		}
	}
}

// TestOpenFiles checks that the limit of connections reserves files for the rest of the server.
func TestOpenFiles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files, configured int
		want              string // expected text in the log
	}{
		"enough":      {files: 20_000, configured: 10_000},
		"unlimited":   {files: 200, configured: 0},
		"few":         {files: 256, configured: 10_000, want: "configured=10000 connections=128 open_files=256 reserved=128"},
		"just enough": {files: 256, configured: 128},
		"very few":    {files: 64, configured: 10_000, want: "connections=16 open_files=64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
			opts.OpenFiles, opts.Config.Limits.Connections = tt.files, tt.configured
			var log journal
			opts.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			s, err := server.New(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if got := log.String(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("log: %s", got)
			}
		})
	}
}
