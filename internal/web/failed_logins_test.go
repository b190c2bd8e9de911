package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/web"
)

func newFailedLogins(drain *web.Drain) *web.FailedLogins {
	return web.NewFailedLogins(web.FailedLoginsConfig{
		PerMinute: 10, Delay: 2 * time.Second, Drain: drain, Clock: clockwork.NewRealClock(), Metrics: prometheus.NewRegistry(),
		Proxies: web.Proxies{netip.MustParsePrefix("10.0.0.0/8")},
	})
}

// fail sends a failed login and returns the time until its response.
func fail(ctx context.Context, s *web.FailedLogins, from, forwarded string) (took time.Duration, closed bool) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.RemoteAddr = from
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	w := httptest.NewRecorder()
	began := time.Now()
	s.Delay(w, r, began)
	return time.Since(began), w.Header().Get("Connection") == "close"
}

// TestFailedLogins checks that a source is delayed after ten failures in a minute, and
// other sources are not.
func TestFailedLogins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFailedLogins(web.NewDrain())
		expect := func(want time.Duration, from, forwarded string) {
			t.Helper()
			if took, closed := fail(t.Context(), s, from, forwarded); took != want || closed {
				t.Errorf("%s %s waited %v (closed: %t), want %v", from, forwarded, took, closed, want)
			}
		}
		for range 10 {
			expect(0, "192.0.2.1:1", "")
			expect(0, "10.0.0.1:1", "192.0.2.2")
			expect(0, "[2001:db8::1]:1", "")
		}
		for range 3 {
			expect(2*time.Second, "192.0.2.1:2", "")
			expect(2*time.Second, "192.0.2.1:2", "192.0.2.77") // untrusted header
			expect(2*time.Second, "10.0.0.2:1", "192.0.2.2")
			expect(2*time.Second, "[2001:db8::ffff:1]:1", "") // same /64
			expect(0, "192.0.2.3:1", "")
			expect(0, "10.0.0.1:1", "192.0.2.4")
			expect(0, "[2001:db8:0:1::1]:1", "")
		}
		await.Pass(2 * time.Minute)
		for range 10 {
			expect(0, "192.0.2.1:1", "")
		}
		expect(2*time.Second, "192.0.2.1:1", "")
		// 82 seconds after the eleven failures, 38 seconds of their minute count, and so 6.
		await.Pass(80 * time.Second)
		for range 4 {
			expect(0, "192.0.2.1:1", "")
		}
		expect(2*time.Second, "192.0.2.1:1", "")
		await.Pass(time.Hour)
		expect(0, "192.0.2.1:1", "")
	})
}

// TestFailedLoginsAreBounded checks that the delayed responses are limited per source and
// in all; others are immediate and close their connection.
func TestFailedLoginsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFailedLogins(web.NewDrain())
		var mu sync.Mutex
		var all sync.WaitGroup
		atOnce, delayed, closed := 0, 0, 0
		flood := func(source, n int) {
			for range n {
				all.Go(func() {
					took, cut := fail(t.Context(), s, "192.0.2."+strconv.Itoa(source)+":1", "")
					mu.Lock()
					defer mu.Unlock()
					switch {
					case cut && took == 0:
						closed++
					case took == 2*time.Second:
						delayed++
					case took == 0:
						atOnce++
					default:
						t.Errorf("%v, closed: %t", took, cut)
					}
				})
			}
		}
		flood(1, 1000)
		all.Wait()
		if atOnce != 10 || delayed != 8 || closed != 982 {
			t.Errorf("one source: %d immediate, %d delayed, %d closed", atOnce, delayed, closed)
		}
		atOnce, delayed, closed = 0, 0, 0
		for source := range 100 {
			flood(source+2, 30)
		}
		all.Wait()
		if atOnce != 1000 || delayed != 256 || closed != 3000-1256 {
			t.Errorf("many sources: %d immediate, %d delayed, %d closed", atOnce, delayed, closed)
		}
	})
}

// TestFailedLoginsGiveUp checks that a delay ends when the client disconnects or the
// server drains.
func TestFailedLoginsGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drain := web.NewDrain()
		s := newFailedLogins(drain)
		for range 10 {
			fail(t.Context(), s, "192.0.2.1:1", "")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if took, _ := fail(ctx, s, "192.0.2.1:1", ""); took != time.Second {
			t.Errorf("a client with a second waited %v", took)
		}
		drain.Begin()
		if took, _ := fail(t.Context(), s, "192.0.2.1:1", ""); took != 0 {
			t.Errorf("a stopping server delayed for %v", took)
		}
	})
}

// TestFailedLoginsFromEverywhere checks that sources beyond the maximum share one counter.
func TestFailedLoginsFromEverywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFailedLogins(web.NewDrain())
		const counted, rest = 10_000, 30
		waited := 0
		for i := range counted + rest {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1)
			if took, _ := fail(t.Context(), s, from.String(), ""); took > 0 {
				waited++
			}
		}
		if waited != rest-10 {
			t.Errorf("%d of %d waited, want %d", waited, rest, rest-10)
		}
	})
}
