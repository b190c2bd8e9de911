package web_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// TestHalfClose checks that the server can close its side of a limited connection and
// read on, so that a client still sending a body reads the response.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	server, client := acceptOne(t, inner, func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Error(err)
		}
		return conn
	})
	defer client.Close()
	defer server.Close()
	if _, err := io.WriteString(server, "answer"); err != nil {
		t.Fatal(err)
	}
	if err := server.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(client); err != nil || string(text) != "answer" {
		t.Errorf("the client reads %q, %v", text, err)
	}
	if _, err := io.WriteString(client, "rest"); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, 4)
	if _, err := io.ReadFull(server, rest); err != nil || string(rest) != "rest" {
		t.Errorf("the server reads %q, %v", rest, err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := server.(interface{ CloseWrite() error }).CloseWrite(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v, want the error of the connection", err)
	}

	pipe := newPipes()
	defer pipe.Close()
	whole, other := acceptOne(t, pipe, func() net.Conn { return pipe.dial("192.0.2.1:1") })
	defer other.Close()
	defer whole.Close()
	if err := whole.(interface{ CloseWrite() error }).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a connection without halves: %v", err)
	}
}

// acceptOne returns both ends of a connection to a limited listener over inner.
func acceptOne(t *testing.T, inner net.Listener, dial func() net.Conn) (server, client net.Conn) {
	t.Helper()
	l := web.Limit(inner, web.ListenerConfig{
		Name: "api", Log: slog.New(slog.DiscardHandler), Clock: clockwork.NewFakeClock(), Metrics: web.NewConnections(prometheus.NewRegistry()),
	})
	dialed := make(chan net.Conn, 1)
	go func() { dialed <- dial() }()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return server, <-dialed
}
