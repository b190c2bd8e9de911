package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/inbox"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// awaitDrain returns once /readyz reports that the drain has begun.
func (r *running) awaitDrain() {
	r.t.Helper()
	r.awaitReadyz(http.StatusServiceUnavailable, "stopping")
}

// TestStopping checks that a stopping server answers a request in flight and sends its
// message, while /readyz fails and new requests are refused.
func TestStopping(t *testing.T) {
	t.Parallel()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	r := run(t, opts)
	if ready, alive := r.ops("/readyz"), r.ops("/healthz"); ready != 200 || alive != 200 {
		t.Errorf("before the stop: /readyz %d, /healthz %d", ready, alive)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := "api_key=demo0001&api_secret=demosecret0001&number=447700900000&brand=Acme"
	if _, err := fmt.Fprintf(conn, "POST /verify/json HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", len(body)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err) // otherwise the handler waits for the body
	}
	r.stop()
	r.awaitDrain()
	if alive := r.ops("/healthz"); alive != 200 {
		t.Errorf("/healthz %d during the stop", alive)
	}
	if id, err := r.start("447700900001"); err == nil {
		t.Errorf("%s was accepted after the stop", id)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if _, err := answers.ReadString('\n'); err != nil { // the end of 100 Continue
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(text), `"status":"0"`) {
		t.Errorf("the request in progress got %d %s", resp.StatusCode, text)
	}
	r.halt()

	// The server waited for the message before it ended.
	db, err := store.Open(t.Context(), store.Config{Database: strings.TrimPrefix(opts.Config.Database, "sqlite:"), Key: opts.Key, Log: opts.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if messages, err := inbox.New(db).Messages(t.Context(), "447700900000", 10); err != nil || len(messages) != 1 {
		t.Errorf("messages: %v, %v; want one", messages, err)
	}
	if _, charges, err := db.LedgerSum(t.Context(), server.DemoAccount); err != nil || charges != 1 {
		t.Errorf("%d charges (%v), want one", charges, err)
	}
}

// TestDraining checks that during the drain the server refuses requests with 503,
// Retry-After and a body, and stores no data.
func TestDraining(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	opts.Clock, opts.DrainFor = clock, time.Second
	r := run(t, opts)
	if _, err := r.start("447700900000"); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.awaitDrain()
	for _, path := range []string{"/verify/json", "/verify/check/json", "/verify/search/json", "/verify/control/json", "/verify/psd2/json"} {
		resp, err := r.client.PostForm(r.URL()+path, url.Values{
			"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret}, "number": {"447700900001"}, "brand": {"Acme"},
		})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !json.Valid(body) {
			t.Errorf("%s: %d, Retry-After %q, %s", path, resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
	}
	if _, charges, err := r.Store().LedgerSum(t.Context(), server.DemoAccount); err != nil || charges != 1 {
		t.Errorf("%d charges (%v), want only the one before the stop", charges, err)
	}
	select {
	case err := <-r.served:
		t.Fatalf("Serve returned (%v) before the end of the drain", err)
	default:
	}
	clock.Advance(time.Second)
	r.halt()
}

// TestDrainingUnderLoad checks that a start at the beginning of the drain is either refused or
// completed: answered, charged once, and its message sent once. Later starts are refused.
func TestDrainingUnderLoad(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	opts.Clock, opts.DrainFor = clock, time.Second // ends when the test advances the clock
	r := run(t, opts)
	var mu sync.Mutex
	accepted := map[string]string{} // numbers, by request id
	var begun atomic.Bool           // whether the drain has begun
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				late, number := begun.Load(), fmt.Sprintf("4477%d%07d", client, i)
				id, err := r.start(number)
				if err != nil {
					if !strings.HasPrefix(err.Error(), "HTTP 503, ") {
						t.Errorf("refused with %v, want 503", err)
					}
					return
				}
				if late {
					t.Errorf("%s was accepted after the drain had begun", id)
					return
				}
				mu.Lock()
				if accepted[id] = number; len(accepted) == 50 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	await.Closed(t, "accepted: 50 starts", enough)
	r.stop()
	r.awaitDrain()
	begun.Store(true)
	wg.Wait()
	clock.Advance(opts.DrainFor)
	r.halt()

	db, err := store.Open(t.Context(), store.Config{Database: strings.TrimPrefix(opts.Config.Database, "sqlite:"), Key: opts.Key, Log: opts.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, charges, err := db.LedgerSum(t.Context(), server.DemoAccount); err != nil || charges != len(accepted) {
		t.Errorf("%d charges (%v) for %d accepted starts", charges, err, len(accepted))
	}
	for id, number := range accepted {
		if messages, err := inbox.New(db).Messages(t.Context(), number, 10); err != nil || len(messages) != 1 || messages[0].RequestID.Hex() != id {
			t.Errorf("messages of %s to %s: %+v (%v), want one", id, number, messages, err)
		}
	}
}
