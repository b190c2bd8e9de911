package web_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/web"
)

// pipes is a listener in memory: its connections use virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial connects from an address.
func (p *pipes) dial(from string) net.Conn {
	client, _ := p.connect(from)
	return client
}

// connect is dial with a channel that is closed when the server closes the connection.
func (p *pipes) connect(from string) (net.Conn, <-chan struct{}) {
	client, server := net.Pipe()
	a := &addressed{Conn: server, from: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), closed: make(chan struct{})}
	p.conns <- a
	return client, a.closed
}

type addressed struct {
	net.Conn
	from   net.Addr
	once   sync.Once
	closed chan struct{}
}

func (a *addressed) Close() error {
	a.once.Do(func() { close(a.closed) })
	return a.Conn.Close()
}

func (a *addressed) RemoteAddr() net.Addr { return a.from }

// TestSlowClients checks that each kind of slow client is disconnected in time, and other
// clients are served.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	limits := web.Limits{
		HeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		HeaderBytes: 16 << 10,
	}
	for name, tt := range map[string]struct {
		first, drip string
		reads       bool // whether the client reads the response
		within      time.Duration
	}{
		"says nothing":      {"", "", true, 5 * time.Second},
		"slow header":       {"GET / HTTP/1.1\r\nHost: x\r\n", "A: b\r\n", true, 5 * time.Second},
		"slow request line": {"GET /", "a", true, 5 * time.Second},
		"slow body":         {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "a", true, 10 * time.Second},
		"slow chunks":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", true, 10 * time.Second},
		"reads nothing":     {"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "", false, 30 * time.Second},
		"idle":              {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", true, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				server := web.NewServer(http.HandlerFunc(echo), slog.New(slog.DiscardHandler), limits)
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- web.Serve(ctx, server, l, time.Second) }()
				began := time.Now()
				ends := make(chan time.Duration, 200)
				for range cap(ends) {
					conn, gone := l.connect("192.0.2.1:1")
					go func() {
						slow(conn, gone, tt.first, tt.drip, tt.reads)
						ends <- time.Since(began)
					}()
				}
				for range 10 {
					asked := time.Now()
					if got := exchange(t, l.dial("192.0.2.1:2")); got != "good" || time.Since(asked) > 0 {
						t.Errorf("a normal client got %q after %v", got, time.Since(asked))
					}
					await.Pass(time.Second / 2)
				}
				for range cap(ends) {
					// The server may delay the close, so that the client receives its response.
					if end := <-ends; end < tt.within || end > tt.within+time.Second {
						t.Errorf("cut off after %v, want %v", end, tt.within)
					}
				}
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.Path == "/large" {
		body = make([]byte, 1<<20)
	}
	_, _ = w.Write(body)
}

// slow sends drip every second until the server has closed the connection.
func slow(conn net.Conn, gone <-chan struct{}, first, drip string, reads bool) {
	if reads {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		text := first
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
			time.Sleep(time.Second) //nolint:forbidigo // virtual, in a bubble
			if text = drip; text == "" {
				return
			}
		}
	}()
	<-gone
	conn.Close()
	<-written
}

// exchange sends one request on a connection and closes it.
func exchange(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ngood") }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// TestLargeHeaders checks the limit on headers, plus the tolerance of the standard library.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	l := newPipes()
	server := web.NewServer(http.HandlerFunc(echo), slog.New(slog.DiscardHandler), web.Limits{HeaderBytes: 16 << 10})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, server, l, 10*time.Second) }()
	for size, want := range map[int]int{10 << 10: 200, 32 << 10: 431} {
		conn := l.dial("192.0.2.1:1")
		go func() {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: "+strings.Repeat("a", size)+"\r\n\r\n")
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%d bytes: %v, %v; want %d", size, resp, err, want)
		}
		conn.Close()
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
