package web_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// Frames of HTTP/2 (RFC 9113), as a client sends them.
const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // with SETTINGS
	ping    = "\x00\x00\x08\x06\x00\x00\x00\x00\x00" + "12345678"

	endStream, endHeaders = 0x1, 0x4
)

func h2frame(kind, flags byte, stream uint32, payload []byte) []byte {
	frame := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(frame, stream), payload...)
}

// headers returns the frame of a request.
func headers(stream uint32, path string, flags byte) []byte {
	block := []byte{0x83, 0x87, 0x41, 1, 'x', 0x04, byte(len(path))} // POST, https, :authority x, :path
	return h2frame(0x1, flags, stream, append(block, path...))
}

func reset(stream uint32) []byte {
	return h2frame(0x3, 0, stream, []byte{0, 0, 0, 8}) // CANCEL
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestReset checks that reset requests are not served if they have not begun, and that a
// connection without valid credentials can reset twenty.
func TestReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := web.Limits{IdleTimeout: time.Hour}
		var served atomic.Int32
		server := web.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			served.Add(1)
			if r.URL.Path == "/login" {
				web.Authenticated(r.Context())
				return
			}
			<-r.Context().Done()
			if !web.Reset(r) {
				t.Error("the request is not reset")
			}
		}), slog.New(slog.DiscardHandler), limits)
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS12}
		l := newPipes()
		listener := web.Limit(l, web.ListenerConfig{
			Name: "api", Limits: limits, Log: slog.New(slog.DiscardHandler), Clock: clockwork.NewRealClock(),
			Metrics: web.NewConnections(prometheus.NewRegistry()),
		})
		done := make(chan error, 1)
		go func() { done <- web.Serve(t.Context(), server, listener, time.Second) }()

		play := func(first string, resets int) (closed bool) {
			raw, gone := l.connect("192.0.2.1:1")
			defer raw.Close()
			conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			write := func(b []byte) { _, _ = conn.Write(b) }
			write([]byte(preface))
			write(headers(1, first, endStream|endHeaders))
			synctest.Wait()
			for i := range resets {
				stream := uint32(2*i + 3)
				write(headers(stream, "/wait", endStream|endHeaders))
				synctest.Wait()
				write(reset(stream))
				synctest.Wait()
			}
			select {
			case <-gone:
				return true
			default:
				return false
			}
		}
		for _, tt := range []struct {
			first  string
			resets int
			closed bool
		}{{"/wait", 19, false}, {"/wait", 20, true}, {"/login", 300, false}} {
			if closed := play(tt.first, tt.resets); closed != tt.closed {
				t.Errorf("%s, %d resets: closed %v", tt.first, tt.resets, closed)
			}
			synctest.Wait()
		}
		l.Close()
		<-done
	})
}

// TestResetIsNotServed checks that a reset request does not reach the handler.
func TestResetIsNotServed(t *testing.T) {
	t.Parallel()
	server := web.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("served")
	}), slog.New(slog.DiscardHandler), web.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/verify/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.ProtoMajor, r.ProtoMinor = 2, 0
	server.Handler.ServeHTTP(nil, r)
	if r.ProtoMajor, r.ProtoMinor = 1, 1; web.Reset(r) {
		t.Error("a request of HTTP/1.1 counts as reset")
	}
}

// TestStreams checks that a client can open 32 streams.
func TestStreams(t *testing.T) {
	t.Parallel()
	server := web.NewServer(http.HandlerFunc(echo), slog.New(slog.DiscardHandler), web.Limits{})
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS12}
	l := newPipes()
	done := make(chan error, 1)
	go func() { done <- web.Serve(t.Context(), server, l, time.Second) }()
	conn := tls.Client(l.dial("192.0.2.1:1"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	go func() { _, _ = io.WriteString(conn, preface) }()
	header := make([]byte, 9)
	if _, err := io.ReadFull(conn, header); err != nil || header[3] != 4 {
		t.Fatalf("no SETTINGS: %x, %v", header, err)
	}
	settings := make([]byte, int(header[1])<<8+int(header[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	streams := uint32(0)
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == 3 { // SETTINGS_MAX_CONCURRENT_STREAMS
			streams = binary.BigEndian.Uint32(settings[2:])
		}
	}
	if streams != 32 {
		t.Errorf("%d streams", streams)
	}
	conn.NetConn().Close()
	l.Close()
	<-done
}

// TestAmbiguousLength checks that a connection closes after a request of ambiguous length.
func TestAmbiguousLength(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		request string
		closes  bool
	}{
		"length":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ngood", false},
		"no body":             {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false},
		"both":                {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n", true},
		"both, the other way": {"POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 14\r\n\r\n4\r\ngood\r\n0\r\n\r\n", true},
		"both, GET":           {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
		"both, kept alive":    {"POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
		"HTTP/1.0, both":      {"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\ngood", true},
		"HTTP/1.0, no body":   {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newPipes()
			server := web.NewServer(http.HandlerFunc(echo), slog.New(slog.DiscardHandler), web.Limits{})
			done := make(chan error, 1)
			go func() { done <- web.Serve(t.Context(), server, l, time.Second) }()
			conn, gone := l.connect("192.0.2.1:1")
			go func() { _, _ = io.WriteString(conn, tt.request) }()
			reader := bufio.NewReader(conn)
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != http.StatusOK || resp.Close != tt.closes {
				t.Errorf("%s, close %v", resp.Status, resp.Close)
			}
			if tt.closes {
				<-gone
			} else {
				go func() { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
				if again, err := http.ReadResponse(reader, nil); err != nil || again.StatusCode != http.StatusOK {
					t.Errorf("the next request: %v", err)
				}
			}
			conn.Close()
			l.Close()
			<-done
		})
	}
}
