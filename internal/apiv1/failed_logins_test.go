package apiv1_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/server"
	"countersign/internal/servertest"
)

// TestFailedLoginsWait checks that requests with bad credentials beyond the limit are
// delayed, over all endpoints together, and refused with the usual text. Valid requests
// from the same address are not delayed.
func TestFailedLoginsWait(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, func(o *server.Options) { o.Unlimited = false })
	bad := func(path, status string) answer {
		a := send(t, s.URL(), request{path: path, params: form("api_key", server.DemoAccount, "api_secret", "x", "request_id", unknownID)})
		if got := a.fields(t)["error_text"]; got != status {
			t.Errorf("%s: %s", path, a.body)
		}
		return a
	}
	const start, others = "Invalid credentials were provided", "Bad credentials"
	for range 5 {
		bad("/verify/json", start)
		bad("/verify/search/json", others)
	}
	var waiting sync.WaitGroup
	const held = 8 // delayed requests per address
	for range held {
		waiting.Go(func() { bad("/verify/json", start) })
	}
	// The clock stands still, so the delay lasts until it advances.
	delayed := fmt.Sprintf(`countersign_failed_logins_total{answer="delayed"} %d`, held)
	await.Until(t, "delayed: all failed logins", func() bool {
		return strings.Contains(send(t, s.OpsURL(), request{method: http.MethodGet, path: "/metrics"}).body, delayed)
	})
	if a := bad("/verify/search/json", others); a.code != http.StatusOK { // over the limit: immediate
		t.Errorf("got %d", a.code)
	}
	for range 20 { // below the account's limit of 30 a second, with the clock standing still
		if got := search(t, s, unknownID); got["status"] != "101" {
			t.Errorf("a good request: %v", got)
		}
	}
	done := make(chan struct{})
	go func() {
		waiting.Wait()
		close(done)
	}()
	await.Until(t, "refused: all failed logins", func() bool {
		select {
		case <-done:
			return true
		default:
			s.Clock.Advance(time.Second)
			return false
		}
	})
}
