package adminapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/server"
)

const good, other = "aaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbb"

func get(path string) adminapi.Request { return adminapi.Request{Method: "GET", Path: path} }

// TestTokens checks that a token authenticates under its name, and is refused once it is
// removed from the file.
func TestTokens(t *testing.T) {
	t.Parallel()
	o := start(t)
	if info, err := os.Stat(o.tokenFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token file: %v, %v", info.Mode(), err)
	}
	if len(o.Token) < 26 {
		t.Errorf("the generated token has %d characters", len(o.Token))
	}
	hash := sha256.Sum256([]byte(other))
	o.tokens("# who may do what", "anna "+good, "", "board sha256:"+hex.EncodeToString(hash[:])+" read-only # looks on")
	if p := refused(t, o.Client, get("/accounts")); p.Status != 401 {
		t.Errorf("a removed token is accepted: %+v", p)
	}
	anna, board := o.as(good), o.as(other)
	must(t, anna.Do(t.Context(), adminapi.Request{Method: "POST", Path: "/accounts/demo0001/bar"}, nil))
	if p := refused(t, board, adminapi.Request{Method: "POST", Path: "/accounts/demo0001/unbar"}); p.Status != 403 {
		t.Errorf("a read-only token can change data: %+v", p)
	}
	var log adminapi.AuditLog
	must(t, board.Do(t.Context(), get("/audit"), &log))
	if len(log.Entries) != 1 || log.Entries[0].Who != "anna" {
		t.Errorf("logged %+v", log)
	}
	if p := refused(t, o.as("anna "+good), get("/accounts")); p.Status != 401 || !strings.Contains(p.Detail, "without its name") {
		t.Errorf("a whole line in place of its token: %+v", p)
	}
	o.tokens(good, "ben "+other)
	must(t, anna.Do(t.Context(), adminapi.Request{Method: "POST", Path: "/accounts/demo0001/unbar"}, nil))
	must(t, o.as(other).Do(t.Context(), get("/audit"), &log))
	if log.Entries[0].Who != "admin" {
		t.Errorf("a token without a name is logged as %+v", log.Entries[0])
	}
	o.tokens("nonsense")
	if p := refused(t, anna, get("/accounts")); p.Status != 503 {
		t.Errorf("requests with an unreadable token file: %+v", p)
	}
	o.tokens("anna " + good)
	must(t, anna.Do(t.Context(), get("/accounts"), nil))
}

// lines is a log for concurrent reading and writing.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestStrangers checks that requests without a known token are refused, then throttled,
// that a known token from the same address is accepted, and that no token is logged.
func TestStrangers(t *testing.T) {
	t.Parallel()
	var log lines
	o := start(t, func(opts *server.Options) { opts.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for i, path := range []string{"/accounts", "/openapi.yaml", "/nonsense", "/audit", "/accounts"} {
		token := ""
		if i%2 == 1 {
			token = other
		}
		if p := refused(t, o.as(token), get(path)); p.Status != 401 {
			t.Errorf("%s: %+v", path, p)
		}
	}
	for range 5 {
		refused(t, o.as(o.Token+"x"), get("/accounts"))
	}
	if p := refused(t, o.as(other), get("/accounts")); p.Status != 429 {
		t.Errorf("after ten: %+v", p)
	}
	must(t, o.Do(t.Context(), get("/accounts"), nil))
	o.Clock.Advance(time.Minute)
	if p := refused(t, o.as(other), get("/accounts")); p.Status != 401 {
		t.Errorf("after a minute: %+v", p)
	}
	if strings.Contains(log.String(), other) || strings.Contains(log.String(), o.Token) {
		t.Errorf("the log has a token: %s", log.String())
	}
}

// TestOtherSites checks that a page of another site cannot use a browser to call the API.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	o := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.AdminURL()+"/admin/v1/accounts/demo0001/bar", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+o.Token)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("status %d %v", resp.StatusCode, resp.Header)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	o := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.AdminURL()+"/admin/v1/accounts", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+o.Token)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	_ = resp.Body.Close()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	path := temp(t, "token")
	must(t, adminapi.CreateTokens(path))
	first, err := adminapi.ReadToken(path)
	must(t, err)
	text, err := os.ReadFile(path)
	must(t, err)
	if string(text) != first+"\n" || len(first) < 22 {
		t.Errorf("the new file has %d bytes, and the token %d; want the token and a line end", len(text), len(first))
	}
	must(t, adminapi.CreateTokens(path))
	if again, err := adminapi.ReadToken(path); err != nil || again != first {
		t.Errorf("the file was replaced: %v", err)
	}
	hash := strings.Repeat("0", 64)
	for text, want := range map[string]string{
		good:                                      good,
		good + " # of the installation":           good,
		good + "\nben " + other:                   good,
		"ben " + other + " read-only\n" + good:    other,
		"admin " + good + "\nben " + other:        good,
		"sha256:" + hash + "\nben " + good:        good,
		good + "\n" + other:                       `line 2: the name "admin" is used twice`,
		good + "\nadmin " + other:                 `line 2: the name "admin" is used twice`,
		good + " read-only":                       "line 1: a read-only token needs a name",
		"sha256:" + hash:                          "contains only hashes",
		"short":                                   `the token of "admin" is shorter`,
		"anna sha256:" + hash + "\nben " + good:   good,
		"anna " + good + " read-only":             good,
		"":                                        "no token",
		"anna short":                              `the token of "anna" is shorter`,
		"anna " + good + " read-write":            "line 1",
		"\nanna " + good + "\nanna " + other:      `line 3: the name "anna" is used twice`,
		"anna sha256:00":                          "64 hexadecimal",
		"anna sha256:" + hash:                     "contains only hashes",
		"two words " + good + " and more of them": "line 1",
		"na/me " + good:                           "letters, digits",
	} {
		must(t, writeFile(path, text))
		got, err := adminapi.ReadToken(path)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err != nil && strings.Contains(got, good) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
