package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// canary is a local server that counts connections.
type canary struct {
	*httptest.Server
	port     int
	accepted atomic.Int32
}

func newCanary(t *testing.T, h http.HandlerFunc) *canary {
	t.Helper()
	c := &canary{}
	c.Server = httptest.NewUnstartedServer(h)
	c.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			c.accepted.Add(1)
		}
	}
	c.Start()
	t.Cleanup(c.Close)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	if c.port, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestForbidden: local addresses are refused in every notation.
func TestForbidden(t *testing.T) {
	t.Parallel()
	c := newCanary(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	client := New(Config{Ports: []int{c.port}})
	for _, host := range strings.Fields(`
		127.0.0.1 127.1 127.0.1 127.255.255.254 0.0.0.0 0 0x7f000001 0x7f.0.0.1 2130706433 017700000001 0177.0.0.1
		localhost localhost. LOCALHOST a.localhost [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1]
		[::127.0.0.1] [::ffff:0:127.0.0.1] 168.63.129.16 [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2001:0:7f00:1::1]
		[fe80::1] [fe80::1%25lo] [fec0::1] [fc00::1] [fd12:3456::1] [ff02::1] [2001:db8::1] [100::1] [3fff::1] [5f00::1]
		10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 169.254.169.254 169.254.0.1
		100.64.0.1 100.127.255.255 192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 192.88.99.1
		224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 0.1.2.3`) {
		if _, err := client.Get(t.Context(), fmt.Sprintf("http://%s:%d/", host, c.port), 100); err == nil {
			t.Errorf("%s was fetched", host)
		}
	}
	for _, address := range []string{
		"", "x", "/etc/passwd", "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "//127.0.0.1/", "http://", "http:///x",
		"javascript:alert(1)", "data:,x", "http://user@example.com/", "http://user:password@example.com/", "http://example.com:0/",
		"http://example.com:22/", "https://example.com:25/", "http://example.com:99999/", "http://example.com:x/", "http://[::1/", "ht tp://x/",
	} {
		if _, err := client.Get(t.Context(), address, 100); !errors.Is(err, ErrForbidden) {
			t.Errorf("%q: %v, want ErrForbidden", address, err)
		}
	}
	if n := c.accepted.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestPublic: addresses outside the special ranges are public.
func TestPublic(t *testing.T) {
	t.Parallel()
	for _, text := range strings.Fields("1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 198.20.0.1 223.255.255.255 2606:4700::1 2a00::1") {
		if !public(netip.MustParseAddr(text)) {
			t.Errorf("%s is refused", text)
		}
	}
}

// TestRebinding: the address of the connection is checked, independent of earlier
// resolutions of the name.
func TestRebinding(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	for address, want := range map[string]error{"93.184.216.34:80": nil, "127.0.0.1:80": ErrForbidden, "[::1]:80": ErrForbidden} {
		if err := c.control(t.Context(), "tcp4", address, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	inner := newCanary(t, func(http.ResponseWriter, *http.Request) {})
	c := newCanary(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, "12345")
		case "/redirect":
			http.Redirect(w, r, inner.URL, http.StatusFound)
		case "/short":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "1")
		default:
			http.NotFound(w, r)
		}
	})
	client := New(Config{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []int{c.port}})
	if b, err := client.Get(t.Context(), c.URL+"/ok", 5); err != nil || string(b) != "12345" {
		t.Errorf("got %q, %v", b, err)
	}
	for path, want := range map[string]string{
		"/redirect": "answered with HTTP status 302", "/gone": "answered with HTTP status 404", "/short": "the answer broke off",
	} {
		if _, err := client.Get(t.Context(), c.URL+path, 5); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, err := client.Get(t.Context(), c.URL+"/ok", 4); err == nil || err.Error() != "larger than 4 bytes" {
		t.Errorf("too large: %v", err)
	}
	if n := inner.accepted.Load(); n != 0 {
		t.Error("a redirect was followed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Get(ctx, c.URL+"/ok", 5); err == nil {
		t.Error("no error after cancellation")
	}
}
