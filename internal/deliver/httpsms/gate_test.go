package httpsms_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/httpsms"
)

// pipes is a network within a synctest bubble, with simulated time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs f with a gateway and the handler h as its peer.
func inBubble(t *testing.T, alter func(*httpsms.Config), h http.HandlerFunc, f func(*testing.T, *httpsms.Gateway)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: h}
		go server.Serve(network)
		c := jsonConfig("http://gateway.example")
		c.Transport = &http.Transport{DialContext: network.dial}
		alter(&c)
		g := open(t, c)
		f(t, g)
		g.Close(t.Context())
		server.Close()
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		status     int
		retryAfter func() string
		pause      time.Duration // until the next message is sent
	}{
		{"TooMany", 429, nil, time.Second},
		{"Unavailable", 503, nil, time.Second},
		{"Seconds", 429, func() string { return "2" }, 2 * time.Second},
		{"Date", 503, func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) }, 2 * time.Second},
		{"LongAgo", 503, func() string { return "Sun, 06 Nov 1994 08:49:37 GMT" }, 0},
		{"Zero", 429, func() string { return "0" }, 0},
		{"Nonsense", 429, func() string { return "-1" }, time.Second},
		{"Accepted", 200, func() string { return "2" }, 0},
		{"Refused", 400, nil, 0},
		{"ServerError", 500, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := true
			inBubble(t, func(*httpsms.Config) {}, func(w http.ResponseWriter, _ *http.Request) {
				if !first {
					return
				}
				first = false
				if tt.retryAfter != nil {
					w.Header().Set("Retry-After", tt.retryAfter())
				}
				w.WriteHeader(tt.status)
			}, func(t *testing.T, g *httpsms.Gateway) {
				g.Send(t.Context(), sms())
				start := time.Now()
				if _, err := g.Send(t.Context(), sms()); err != nil {
					t.Errorf("second message: %v", err)
				}
				if got := time.Since(start); got != tt.pause {
					t.Errorf("the second message waited %v, want %v", got, tt.pause)
				}
			})
		})
	}
}

func TestLongPause(t *testing.T) {
	t.Parallel()
	answer := "86400"
	inBubble(t, func(*httpsms.Config) {}, func(w http.ResponseWriter, _ *http.Request) {
		if answer != "" {
			w.Header().Set("Retry-After", answer)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, func(t *testing.T, g *httpsms.Gateway) {
		g.Send(t.Context(), sms())
		answer = ""
		start := time.Now()
		if _, err := g.Send(t.Context(), sms()); kindOf(err) != notSent || time.Since(start) != 0 {
			t.Errorf("during the pause: %s after %v: %v", kindOf(err), time.Since(start), err)
		}
		// A Retry-After of a day is limited to maxPause.
		await.Pass(5 * time.Minute)
		if _, err := g.Send(t.Context(), sms()); err != nil {
			t.Errorf("after the longest pause: %v", err)
		}
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var at []time.Duration
	var start time.Time
	inBubble(t, func(c *httpsms.Config) { c.Rate = 2 }, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Since(start))
	}, func(t *testing.T, g *httpsms.Gateway) {
		start = time.Now()
		kinds := make(map[string]int)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := g.Send(t.Context(), sms())
				mu.Lock()
				defer mu.Unlock()
				kinds[kindOf(err)]++
			})
		}
		wg.Wait()
		// At 0, 0.5 … 3 seconds, the longest wait.
		if kinds[accepted] != 7 || kinds[notSent] != 3 {
			t.Errorf("outcomes %v", kinds)
		}
		for i, d := range at {
			if want := time.Duration(i) * 500 * time.Millisecond; d != want {
				t.Errorf("request %d after %v, want %v", i, d, want)
			}
		}
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	running, most := 0, 0
	inBubble(t, func(c *httpsms.Config) { c.Concurrency = 2 }, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		<-time.After(2 * time.Second) // processing time of the gateway
		mu.Lock()
		running--
		mu.Unlock()
	}, func(t *testing.T, g *httpsms.Gateway) {
		kinds := make(map[string]int)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				_, err := g.Send(t.Context(), sms())
				mu.Lock()
				defer mu.Unlock()
				kinds[kindOf(err)]++
			})
		}
		wg.Wait()
		// Two immediately, two after 2 seconds; the others would wait 4 seconds.
		if most != 2 || kinds[accepted] != 4 || kinds[notSent] != 2 {
			t.Errorf("%d at a time, outcomes %v", most, kinds)
		}
	})
}

// TestWaitingEndsWithTheCode: a message does not wait beyond the expiry of its code, and
// its request has the remaining lifetime.
func TestWaitingEndsWithTheCode(t *testing.T) {
	t.Parallel()
	var got []string
	inBubble(t, func(c *httpsms.Config) {
		c.Rate = 0.5
		c.Headers = append(c.Headers, "X-Valid: {{.ValidSeconds}}")
	}, func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("X-Valid"))
	}, func(t *testing.T, g *httpsms.Gateway) {
		m := sms()
		m.ValidFor = 10 * time.Second
		g.Send(t.Context(), m)
		if _, err := g.Send(t.Context(), m); err != nil { // waits 2 seconds
			t.Error(err)
		}
		m.ValidFor = time.Second
		if _, err := g.Send(t.Context(), m); kindOf(err) != notSent {
			t.Errorf("%s: %v", kindOf(err), err)
		}
		if len(got) != 2 || got[0] != "10" || got[1] != "8" {
			t.Errorf("seconds to live %q, want 10 and 8", got)
		}
	})
}

// TestCancelledWaitSendsNothing: a message is never sent if its context ends while it
// waits for its turn or for a slot.
func TestCancelledWaitSendsNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		alter func(*httpsms.Config)
		begin time.Duration // from the first message to the cancelled one
		after time.Duration // until the context of the cancelled message ends
		next  time.Duration // from the first message to the third
		text  string        // part of the error
	}{
		{"turn", func(c *httpsms.Config) { c.Rate = 1 }, 0, 500 * time.Millisecond, 2 * time.Second, "waiting for its turn"},
		{"request", func(c *httpsms.Config) { c.Concurrency = 1 }, 0, 500 * time.Millisecond, time.Second, "limit of 1 concurrent requests reached"},
		{"no wait", func(*httpsms.Config) {}, 5 * time.Second, 0, 5 * time.Second, "deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var sent []time.Time
			inBubble(t, tt.alter, func(w http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				sent = append(sent, time.Now())
				mu.Unlock()
				time.Sleep(time.Second) //nolint:forbidigo // virtual, in a bubble
				_, _ = w.Write([]byte(`{"messages":[{"message-id":"1","status":"0"}]}`))
			}, func(t *testing.T, g *httpsms.Gateway) {
				began := time.Now()
				var first sync.WaitGroup
				first.Go(func() { g.Send(t.Context(), sms()) })
				await.Pass(tt.begin)
				ctx, cancel := context.WithTimeout(t.Context(), tt.after)
				defer cancel()
				waited := time.Now()
				_, err := g.Send(ctx, sms())
				if took := time.Since(waited); kindOf(err) != notSent || took != tt.after || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s after %v: %v", kindOf(err), took, err)
				}
				g.Send(t.Context(), sms())
				first.Wait()
				if len(sent) != 2 || sent[1].Sub(began) != tt.next {
					t.Errorf("sent at %v, want two messages with an interval of %v", sent, tt.next)
				}
			})
		})
	}
}

// TestWholeWaitIsBounded: a message is not sent if the waits for its turn and for a slot
// together take three seconds.
func TestWholeWaitIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *httpsms.Config) { c.Rate, c.Concurrency = 1, 1 }, func(http.ResponseWriter, *http.Request) {
		time.Sleep(5 * time.Second) //nolint:forbidigo // virtual, in a bubble
	}, func(t *testing.T, g *httpsms.Gateway) {
		began := time.Now()
		var first sync.WaitGroup
		first.Go(func() { g.Send(t.Context(), sms()) })
		synctest.Wait()
		if _, err := g.Send(t.Context(), sms()); kindOf(err) != notSent || time.Since(began) != 3*time.Second {
			t.Errorf("%s after %v: %v; want the end of its wait", kindOf(err), time.Since(began), err)
		}
		first.Wait()
	})
}
