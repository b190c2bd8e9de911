package web

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound what one connection, or all of them, may hold up. Every API call is
// answered within moments; what takes longer than these is not a call. 0 means no
// limit, but for HeaderBytes.
type Limits struct {
	HeaderTimeout time.Duration // from the first byte of a request, or of TLS, to the end of its header
	ReadTimeout   time.Duration // to the end of its body
	WriteTimeout  time.Duration // from the end of the header to the end of the answer
	IdleTimeout   time.Duration // between two requests
	HeaderBytes   int           // of request line and header; 0 for 1 MiB

	Connections           int // open at a time
	ConnectionsPerAddress int // and from one address, see [Proxies.Source]
}

// NewServer returns a server with limits on time and size. A page that stays open
// for live updates lifts those on time for itself (http.ResponseController).
func NewServer(h http.Handler, log *slog.Logger, limits Limits) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: limits.HeaderTimeout,
		ReadTimeout:       limits.ReadTimeout,
		WriteTimeout:      limits.WriteTimeout,
		IdleTimeout:       limits.IdleTimeout,
		MaxHeaderBytes:    limits.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Limit holds a listener to the limits on connections. One too many is closed as
// soon as it is there: its client sees that at once, and goes to another node,
// while one that waits would learn nothing. Trusted proxies, which stand for many,
// have as many as they like of the limit for one address.
func Limit(l net.Listener, limits Limits, trusted Proxies, metrics prometheus.Registerer) net.Listener {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_connections_refused_total", Help: "Connections closed at once, by the limit that they were over: all or address.",
	}, []string{"limit"})
	metrics.MustRegister(refused)
	return &limited{Listener: l, limits: limits, trusted: trusted, refused: refused, from: map[netip.Prefix]int{}}
}

type limited struct {
	net.Listener
	limits  Limits
	trusted Proxies
	refused *prometheus.CounterVec

	mu   sync.Mutex
	open int
	from map[netip.Prefix]int // bounded by open; those of trusted proxies are left out
}

// Accept waits for a connection that is within the limits.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := l.source(conn)
		if over := l.take(source); over != "" {
			l.refused.WithLabelValues(over).Inc()
			_ = conn.Close() // it is not ours any more
			continue
		}
		return &limitedConn{Conn: conn, release: func() { l.give(source) }}, nil
	}
}

// source is where a connection counts; the zero value is nowhere.
func (l *limited) source(conn net.Conn) netip.Prefix {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil || l.limits.ConnectionsPerAddress == 0 || l.trusted.trusts(peer.Addr()) {
		return netip.Prefix{}
	}
	return subnet(peer.Addr())
}

// take counts a connection, or says which limit it is over.
func (l *limited) take(source netip.Prefix) (over string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.limits.Connections > 0 && l.open >= l.limits.Connections:
		return "all"
	case source.IsValid() && l.from[source] >= l.limits.ConnectionsPerAddress:
		return "address"
	}
	l.open++
	if source.IsValid() {
		l.from[source]++
	}
	return ""
}

func (l *limited) give(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if !source.IsValid() {
		return
	}
	if l.from[source]--; l.from[source] == 0 {
		delete(l.from, source)
	}
}

// limitedConn gives its place back when it is closed for the first time.
type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}

// CloseWrite ends the server's side, so that a client can read the answer to a
// request that was not read to its end.
func (c *limitedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
