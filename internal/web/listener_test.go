package web_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// guarded is a limited server on a listener in memory. Paths below /login authenticate.
type guarded struct {
	*pipes
	t     *testing.T
	log   bytes.Buffer // complete lines only after stop
	clock *clockwork.FakeClock
	reg   *prometheus.Registry
	stop  func()
}

func serveGuarded(t *testing.T, limits web.Limits, secure *tls.Config) *guarded {
	t.Helper()
	g := &guarded{pipes: newPipes(), t: t, clock: clockwork.NewFakeClock(), reg: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(&g.log, nil))
	server := web.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/login") {
			web.Authenticated(r.Context())
		}
		echo(w, r)
	}), log, limits)
	server.TLSConfig = secure.Clone()
	l := web.Limit(g.pipes, web.ListenerConfig{
		Name: "api", Limits: limits, Trusted: web.Proxies{netip.MustParsePrefix("10.0.0.0/8")},
		Log: log, Clock: g.clock, Metrics: web.NewConnections(g.reg),
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, server, l, time.Second) }()
	g.stop = func() {
		cancel()
		if err := <-served; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	return g
}

// peer is a client's connection.
type peer struct {
	net.Conn
	reader *bufio.Reader
	closed <-chan struct{} // closed by the server
}

func (g *guarded) peer(from string) *peer {
	conn, closed := g.connect(from)
	synctest.Wait()
	return &peer{conn, bufio.NewReader(conn), closed}
}

func (p *peer) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// send writes text and waits until the server has read it.
func (p *peer) send(text string) {
	go func() { _, _ = io.WriteString(p, text) }()
	synctest.Wait()
}

// ask sends a request and returns the status of its response; 0 without one.
func (p *peer) ask(path string) int {
	p.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	synctest.Wait()
	return resp.StatusCode
}

// TestFullListener connects peers in alphabetical order to a listener for three, and
// compares the closed ones.
func TestFullListener(t *testing.T) {
	t.Parallel()
	const halfHeader, halfBody = "GET / HTTP/1.1\r\nHost:", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
	for name, tt := range map[string]struct {
		perAddress int
		from       map[string]string // address by peer; 192.0.2.1 by default
		play       func(peers map[string]*peer, connect func(...string))
		closed     string
		metrics    string
	}{
		"silent ones": {
			play:   func(_ map[string]*peer, connect func(...string)) { connect("a", "b", "c", "d", "e") },
			closed: "ab", metrics: `countersign_connections_closed_total{listener="api",reason="all"} 2`,
		},
		"progress counts": {
			play: func(p map[string]*peer, connect func(...string)) {
				connect("a", "b", "c")
				p["a"].ask("/")
				connect("d")
			},
			closed: "b",
		},
		"bytes are no progress": {
			play: func(p map[string]*peer, connect func(...string)) {
				connect("a", "b", "c")
				p["a"].send(halfHeader)
				p["a"].send(" x\r\nA: b\r\n")
				connect("d")
			},
			closed: "a",
		},
		"half a body": {
			play: func(p map[string]*peer, connect func(...string)) {
				connect("a")
				p["a"].send(halfBody)
				connect("b", "c", "d")
				p["b"].send(halfBody)
				p["d"].send("x")
				connect("e", "f")
			},
			closed: "acd",
		},
		"valid credentials stay": {
			play: func(p map[string]*peer, connect func(...string)) {
				connect("a", "b", "c")
				p["a"].ask("/login")
				p["c"].ask("/login")
				connect("d", "e", "f")
			},
			closed: "bde",
		},
		"all with valid credentials": {
			play: func(p map[string]*peer, connect func(...string)) {
				for _, name := range []string{"a", "b", "c"} {
					connect(name)
					p[name].ask("/login")
				}
				connect("d")
				p["b"].Close()
				synctest.Wait()
				connect("e")
			},
			closed: "bd", metrics: `countersign_connections_refused_total{limit="all",listener="api"} 1`,
		},
		"one address": {
			perAddress: 2,
			from:       map[string]string{"a": "192.0.2.9:1", "d": "[2001:db8::1]:1", "e": "[2001:db8::2:1]:1", "f": "[2001:db8::3]:1"},
			play:       func(_ map[string]*peer, connect func(...string)) { connect("b", "c", "a", "d", "e", "f") },
			closed:     "bcd", // b and c by the total limit, d by its /64
		},
		"one address, all with valid credentials": {
			perAddress: 1,
			play: func(p map[string]*peer, connect func(...string)) {
				connect("a")
				p["a"].ask("/login")
				connect("b")
			},
			closed: "b", metrics: `countersign_connections_refused_total{limit="address",listener="api"} 1`,
		},
		"one at a time from one address": {
			perAddress: 1,
			play:       func(_ map[string]*peer, connect func(...string)) { connect("a", "b", "c") },
			closed:     "ab", metrics: `countersign_connections_closed_total{listener="api",reason="address"} 2`,
		},
		"an address with many connections loses its own": {
			from:   map[string]string{"a": "192.0.2.9:1"},
			play:   func(_ map[string]*peer, connect func(...string)) { connect("a", "b", "c", "d", "e", "f") },
			closed: "bcd",
		},
		"trusted proxies have no limit for one address": {
			perAddress: 1,
			from:       map[string]string{"a": "10.0.0.1:1", "b": "10.0.0.1:2", "c": "10.0.0.1:3"},
			play:       func(_ map[string]*peer, connect func(...string)) { connect("a", "b", "c") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := serveGuarded(t, web.Limits{Connections: 3, ConnectionsPerAddress: tt.perAddress, UnauthenticatedIdle: 5 * time.Second}, nil)
				peers := map[string]*peer{}
				tt.play(peers, func(names ...string) {
					for _, name := range names {
						from := tt.from[name]
						if from == "" {
							from = "192.0.2.1:1"
						}
						peers[name] = g.peer(from)
					}
				})
				closed := ""
				for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
					if p := peers[name]; p != nil && p.isClosed() {
						closed += name
					}
				}
				if closed != tt.closed {
					t.Errorf("closed %q, want %q", closed, tt.closed)
				}
				if tt.metrics != "" && !strings.Contains(exposition(t, g.reg), tt.metrics+"\n") {
					t.Errorf("no %s in\n%s", tt.metrics, exposition(t, g.reg))
				}
				for _, p := range peers {
					p.Close()
				}
				g.stop()
				if got := exposition(t, g.reg); !strings.Contains(got, `countersign_connections_open{listener="api"} 0`) {
					t.Errorf("connections are not released:\n%s", got)
				}
			})
		})
	}
}

func exposition(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			fmt.Fprintf(&text, "%s{%s} %v\n", f.GetName(), strings.Join(labels, ","), m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	return text.String()
}

// TestFullListenerLog checks that a flood logs one line a minute, with its size.
func TestFullListenerLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := serveGuarded(t, web.Limits{Connections: 1}, nil)
		for range 5 {
			defer g.peer("192.0.2.1:1").Close()
		}
		g.clock.Advance(time.Minute)
		for range 3 {
			defer g.peer("192.0.2.1:1").Close()
		}
		g.stop()
		var lines []string
		for line := range strings.Lines(g.log.String()) {
			lines = append(lines, line)
		}
		if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[0], "closed=1 ") || !strings.Contains(lines[1], "closed=4 ") {
			t.Errorf("%q", lines)
		}
	})
}

// TestUnauthenticatedIdle checks that idle connections are closed after a minute if a request
// had valid credentials, and otherwise after five seconds, even if they send bytes.
func TestUnauthenticatedIdle(t *testing.T) {
	t.Parallel()
	secure := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS12}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, tt := range map[string]struct {
		tls         *tls.Config
		over        []string // TLS protocols of the client; nil for plain TCP
		first, drip string
		after       time.Duration
	}{
		"nothing":                {after: 5 * time.Second},
		"half a request line":    {first: "GET /", drip: "a", after: 5 * time.Second},
		"half a header":          {first: "GET / HTTP/1.1\r\nHost: x\r\n", drip: "A: b\r\n", after: 5 * time.Second},
		"between requests":       {first: get, after: 5 * time.Second},
		"half a second request":  {first: get, drip: "GET /", after: 5 * time.Second},
		"half a body":            {first: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n", drip: "a", after: 10 * time.Second},
		"with credentials":       {first: "GET /login HTTP/1.1\r\nHost: x\r\n\r\n", after: time.Minute},
		"credentials, then none": {first: "GET /login HTTP/1.1\r\nHost: x\r\n\r\n" + get, after: time.Minute},
		"no handshake":           {tls: secure, after: 5 * time.Second},
		"half a handshake":       {tls: secure, first: "\x16\x03\x01\x01\x00\x01", drip: "\x00", after: 5 * time.Second},
		"TLS and nothing":        {tls: secure, over: []string{"http/1.1"}, after: 5 * time.Second},
		"TLS and half a header":  {tls: secure, over: []string{"http/1.1"}, first: "GET / HTTP/1.1\r\n", drip: "A: b\r\n", after: 5 * time.Second},
		"HTTP/2 and nothing":     {tls: secure, over: []string{"h2"}, first: preface, after: 5 * time.Second},
		"HTTP/2 and pings":       {tls: secure, over: []string{"h2"}, first: preface, drip: ping, after: 5 * time.Second},
		"HTTP/2, half a header":  {tls: secure, over: []string{"h2"}, first: preface + string(headers(1, "/", 0)), after: 5 * time.Second},
		"HTTP/2, one request":    {tls: secure, over: []string{"h2"}, first: preface + string(headers(1, "/", endStream|endHeaders)), drip: ping, after: 5 * time.Second},
		"HTTP/2, half a body":    {tls: secure, over: []string{"h2"}, first: preface + string(headers(1, "/", endHeaders)), drip: ping, after: 15 * time.Second},
		"HTTP/2, credentials":    {tls: secure, over: []string{"h2"}, first: preface + string(headers(1, "/login", endStream|endHeaders)), drip: ping, after: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := serveGuarded(t, web.Limits{
					HeaderTimeout: 20 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
					IdleTimeout: time.Minute, UnauthenticatedIdle: 5 * time.Second,
				}, tt.tls)
				conn, gone := g.connect("192.0.2.1:1")
				began := time.Now()
				if tt.over != nil {
					client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: tt.over})
					if err := client.Handshake(); err != nil {
						t.Fatal(err)
					}
					go func() { <-gone; conn.Close() }()
					slow(client, gone, tt.first, tt.drip, true)
				} else {
					slow(conn, gone, tt.first, tt.drip, true)
				}
				if took := time.Since(began); took < tt.after || took > tt.after+2*time.Second {
					t.Errorf("closed after %v, want %v", took, tt.after)
				}
				g.stop()
			})
		})
	}
}

// failing is a listener with an Accept that fails.
type failing struct {
	*pipes
	errs chan error
}

func (f failing) Accept() (net.Conn, error) {
	select {
	case err := <-f.errs:
		return nil, err
	default:
		return f.pipes.Accept()
	}
}

// TestAcceptErrors checks that errors are logged once a minute, and that a lack of file
// descriptors closes the oldest connection.
func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	clock := clockwork.NewFakeClock()
	reg := prometheus.NewRegistry()
	inner := failing{newPipes(), make(chan error, 10)}
	l := web.Limit(inner, web.ListenerConfig{
		Name: "api", Log: slog.New(slog.NewTextHandler(&log, nil)), Clock: clock, Metrics: web.NewConnections(reg),
	})
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := l.Accept()
		accepted <- conn
	}()
	client, closed := inner.connect("192.0.2.1:1")
	defer client.Close()
	<-accepted
	full := &net.OpError{Op: "accept", Err: syscall.EMFILE}
	accept := func() {
		inner.errs <- full
		if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("Accept: %v", err)
		}
	}
	for range 3 {
		accept()
	}
	<-closed
	clock.Advance(time.Minute)
	accept()
	inner.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
	if got := log.String(); strings.Count(got, "level=ERROR") != 2 || strings.Count(got, "\n") != 2 || !strings.Contains(got, "too many open files") {
		t.Error(got)
	}
	if got := exposition(t, reg); !strings.Contains(got, `countersign_accept_errors_total{listener="api"} 4`) {
		t.Error(got)
	}
}
