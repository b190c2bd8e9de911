package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// holding is a FailedLogins with a fake clock.
type holding struct {
	*web.FailedLogins
	t     *testing.T
	clock *clockwork.FakeClock
	reg   *prometheus.Registry
}

func newHolding(t *testing.T, perMinute int) *holding {
	h := &holding{t: t, clock: clockwork.NewFakeClock(), reg: prometheus.NewRegistry()}
	h.FailedLogins = web.NewFailedLogins(web.FailedLoginsConfig{
		PerMinute: perMinute, Delay: 2 * time.Second, Drain: web.NewDrain(), Clock: h.clock, Metrics: h.reg,
	})
	return h
}

// hold starts a failed login from a source, at a time after the request arrived, and
// returns a channel that is closed when the response may be written.
func (h *holding) hold(source int, spent time.Duration) <-chan struct{} {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", source)
	came := h.clock.Now().Add(-spent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Delay(httptest.NewRecorder(), r, came)
	}()
	synctest.Wait()
	return done
}

func isOver(done <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// pass advances the clock until done is closed and returns the elapsed time, at most
// limit.
func (h *holding) pass(done <-chan struct{}, limit time.Duration) time.Duration {
	h.t.Helper()
	if isOver(done) {
		return 0
	}
	h.clock.Advance(limit - 1)
	if isOver(done) {
		return -1 // earlier
	}
	h.clock.Advance(1)
	if isOver(done) {
		return limit
	}
	return limit + 1 // later
}

// TestFailedLoginTakesAtLeast checks that the response time of a failed login is a
// multiple of 10 ms from the arrival of the request, with and without a delay.
func TestFailedLoginTakesAtLeast(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ spent, left time.Duration }{
		{0, 0},
		{1, 10*time.Millisecond - 1},
		{time.Millisecond, 9 * time.Millisecond},
		{10*time.Millisecond - 1, 1},
		{10 * time.Millisecond, 0},
		{10*time.Millisecond + 1, 10*time.Millisecond - 1},
		{25 * time.Millisecond, 5 * time.Millisecond},
		{990 * time.Millisecond, 0},
		{999 * time.Millisecond, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHolding(t, 1)
			if got := h.pass(h.hold(1, tt.spent), max(tt.left, 1)); got != tt.left {
				t.Errorf("after %v: delayed for %v, want %v", tt.spent, got, tt.left)
			}
			done := h.hold(1, tt.spent) // over the limit
			if got := h.pass(done, 2*time.Second); tt.left == 0 && got != 2*time.Second || tt.left > 0 && got != 2*time.Second+1 {
				t.Errorf("after %v, over the limit: delayed for %v, want 2s and %v", tt.spent, got, tt.left)
			}
			if got := h.pass(done, max(tt.left, 1)); got != tt.left {
				t.Errorf("after %v and 2s: delayed for %v, want %v", tt.spent, got, tt.left)
			}
		})
	}
}

// TestFailedLoginsUnlimited checks that without a limit no failure is delayed.
func TestFailedLoginsUnlimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHolding(t, 0)
		for n := range 1000 {
			if !isOver(h.hold(1, 0)) {
				t.Fatalf("failure %d is delayed", n+1)
			}
		}
	})
}

// TestFailedLoginsAreReleased checks that a slot is free after each delay, and a source
// is deleted two minutes after its last failure.
func TestFailedLoginsAreReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHolding(t, 1)
		expect := func(when string, failed, waiting int) {
			t.Helper()
			if f, w := h.Entries(); f != failed || w != waiting {
				t.Errorf("%s: %d sources with failures and %d with delays, want %d and %d", when, f, w, failed, waiting)
			}
		}
		expect("at first", 0, 0)
		h.hold(1, 0)
		for turn := range 40 { // more than the 256 slots
			var waits []<-chan struct{}
			for range 8 {
				waits = append(waits, h.hold(1, 0))
			}
			if _, w := h.Entries(); w != 1 {
				t.Fatalf("turn %d: %d sources have delays, want 1", turn, w)
			}
			if !isOver(h.hold(1, 0)) {
				t.Fatalf("turn %d: more than 8 delayed responses for one source", turn)
			}
			for i, done := range waits {
				if isOver(done) {
					t.Fatalf("turn %d: response %d is not delayed: earlier slots are not released", turn, i+1)
				}
			}
			h.clock.Advance(2 * time.Second)
			for _, done := range waits {
				<-done
			}
			if _, w := h.Entries(); w != 0 {
				t.Fatalf("turn %d: %d sources still have delays", turn, w)
			}
		}
		for source := range 100 {
			h.hold(source+2, 0)
		}
		h.clock.Advance(time.Minute)
		h.hold(200, 0)
		if f, _ := h.Entries(); f < 102 {
			t.Errorf("%d sources after a minute, want all: their failures still count", f)
		}
		h.clock.Advance(time.Minute)
		h.hold(201, 0)
		expect("two minutes after", 2, 0) // failures of the last two minutes
		h.clock.Advance(time.Hour)
		h.hold(202, 0)
		expect("an hour after", 1, 0)
	})
}

// TestNoLimitOfConnections checks that 0 connections, and 0 per address, mean unlimited:
// no connection is closed.
func TestNoLimitOfConnections(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]web.Limits{
		"no limit":             {},
		"none for one address": {Connections: 1000},
		"none for all":         {ConnectionsPerAddress: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := serveGuarded(t, limits, nil)
				defer g.stop()
				var peers []*peer
				for i := range 120 {
					peers = append(peers, g.peer(fmt.Sprintf("192.0.2.%d:1", i%3)))
				}
				for i, p := range peers {
					if p.isClosed() || p.ask("/") != http.StatusOK {
						t.Fatalf("connection %d of 120 is closed", i+1)
					}
				}
				for _, p := range peers {
					p.Close()
				}
			})
		})
	}
}
