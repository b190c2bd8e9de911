package web

import (
	"container/list"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

// Connections contains the metrics of all listeners.
type Connections struct {
	open    *prometheus.GaugeVec
	refused *prometheus.CounterVec
	closed  *prometheus.CounterVec
	errors  *prometheus.CounterVec
}

// NewConnections registers the metrics of listeners.
func NewConnections(metrics prometheus.Registerer) *Connections {
	c := &Connections{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "countersign_connections_open", Help: "Open connections, by listener: api, ops or admin.",
		}, []string{"listener"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_connections_refused_total",
			Help: "New connections closed because all others at the limit (all or address) have valid credentials.",
		}, []string{"listener", "limit"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_connections_closed_total",
			Help: "Connections without valid credentials that were closed, by reason: all or address (the limit that a new connection reached), idle, resets or files (no file descriptor was left).",
		}, []string{"listener", "reason"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_accept_errors_total", Help: "Connections that the system could not accept, by listener.",
		}, []string{"listener"}),
	}
	metrics.MustRegister(c.open, c.refused, c.closed, c.errors)
	return c
}

// begin initializes the counters of a listener with 0.
func (c *Connections) begin(listener string) {
	c.open.WithLabelValues(listener)
	c.errors.WithLabelValues(listener)
	for _, limit := range []string{limitAll, limitAddress} {
		c.refused.WithLabelValues(listener, limit)
	}
	for _, reason := range []string{limitAll, limitAddress, closedIdle, closedResets, closedFiles} {
		c.closed.WithLabelValues(listener, reason)
	}
}

// ListenerConfig configures a limited listener.
type ListenerConfig struct {
	Name    string // api, ops or admin, for log lines and metrics
	Limits  Limits
	Trusted Proxies // exempt from the limit per address
	Log     *slog.Logger
	Clock   clockwork.Clock
	Metrics *Connections
}

// Reasons to close a connection, besides the names of limits.
const (
	limitAll     = "all"
	limitAddress = "address"

	closedIdle   = "idle"
	closedResets = "resets"
	closedFiles  = "files"
)

// heavyShare is a divisor: above 1/heavyShare of all places, an address loses its own
// connections without valid credentials first.
const heavyShare = 8

// Limit returns a listener with limits on connections. A connection above a limit
// replaces the connection without valid credentials with the longest time without
// progress. Clients with valid credentials are therefore served during a flood of idle
// connections. An address with more than an eighth of all places loses its own
// connections first. If all connections have valid credentials, the new one is closed, so
// that its client can use another node.
func Limit(l net.Listener, cfg ListenerConfig) net.Listener {
	cfg.Metrics.begin(cfg.Name)
	return &limited{
		Listener: l, cfg: cfg, full: newMinutely(cfg.Clock), failing: newMinutely(cfg.Clock),
		all:  &group{limit: limitAll, most: cfg.Limits.Connections},
		from: map[netip.Prefix]*group{},
	}
}

type limited struct {
	net.Listener
	cfg ListenerConfig

	mu              sync.Mutex
	all             *group
	from            map[netip.Prefix]*group // limited by all.open; without trusted proxies
	heaviest        *group                  // address with the most strangers, approximately
	full, failing   *minutely
	evicted, turned int // counts since the last log line
}

// group contains the connections that share a limit.
type group struct {
	limit     string
	most      int // 0 for no limit
	open      int
	strangers list.List // *conn without valid credentials, longest without progress first
}

// Accept waits for a connection within the limits. It logs errors, except the end of the
// listener, at most once a minute: net/http retries without logging.
func (l *limited) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.fail(err)
			}
			return nil, err
		}
		if c := l.admit(nc); c != nil {
			return c, nil
		}
		_ = nc.Close() // never used
	}
}

// fail records an error of Accept. Without a free file descriptor it closes a connection
// without valid credentials, so that the next Accept succeeds.
func (l *limited) fail(err error) {
	l.cfg.Metrics.errors.WithLabelValues(l.cfg.Name).Inc()
	l.mu.Lock()
	open := l.all.open
	var victim *conn
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		victim = l.evict(l.all, closedFiles)
	}
	log := l.failing.due()
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close() // already evicted
	}
	if log {
		l.cfg.Log.Error("cannot accept connections; if files are exhausted, raise the limit of open files (LimitNOFILE, ulimit -n)",
			"listener", l.cfg.Name, "open", open, "error", err)
	}
}

// admit returns the limited connection, or nil if it is over a limit.
func (l *limited) admit(nc net.Conn) *conn {
	c := &conn{Conn: nc, listener: l, source: l.source(nc), turn: make(chan struct{}, 1), known: make(chan struct{})}
	l.mu.Lock()
	groups := []*group{l.all}
	if c.source.IsValid() {
		// The address comes first: a connection closed there also frees a place in l.all.
		groups = []*group{l.address(c.source), l.all}
	}
	victim, over := l.makeRoom(groups)
	if over == "" {
		c.sit(groups)
		if c.source.IsValid() {
			l.from[c.source] = groups[0] // the victim may have been its last connection
			if l.heaviest == nil || groups[0].strangers.Len() >= l.heaviest.strangers.Len() {
				l.heaviest = groups[0]
			}
		}
	} else {
		l.turned++
		l.cfg.Metrics.refused.WithLabelValues(l.cfg.Name, over).Inc()
		l.tidy(c.source)
	}
	if victim != nil {
		l.evicted++
	}
	l.logFull(victim != nil || over != "")
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close() // already evicted
	}
	if over != "" {
		return nil
	}
	return c
}

// makeRoom frees a place in each group. It returns the evicted connection, if any, or the
// limit without room.
func (l *limited) makeRoom(groups []*group) (victim *conn, over string) {
	for _, g := range groups {
		if g.most == 0 || g.open < g.most {
			continue
		}
		// At most one connection is closed: this also frees its place in l.all.
		from := g
		if h := l.heaviest; g == l.all && h != nil && h.strangers.Len() > max(l.all.most/heavyShare, 1) {
			from = h
		}
		if victim = l.evict(from, g.limit); victim == nil {
			return nil, g.limit
		}
	}
	return victim, ""
}

// evict removes the oldest connection without valid credentials from its groups; nil
// without one. The caller closes it.
func (l *limited) evict(g *group, reason string) *conn {
	oldest := g.strangers.Front()
	if oldest == nil {
		return nil
	}
	victim := oldest.Value.(*conn)
	victim.leave()
	l.cfg.Metrics.closed.WithLabelValues(l.cfg.Name, reason).Inc()
	return victim
}

// logFull logs at most one line a minute, with counts since the last line.
func (l *limited) logFull(full bool) {
	if !full || !l.full.due() {
		return
	}
	l.cfg.Log.Warn("connection limit reached; closing the longest idle connections without valid credentials",
		"listener", l.cfg.Name, "open", l.all.open, "closed", l.evicted, "refused", l.turned)
	l.evicted, l.turned = 0, 0
}

// source returns the address whose limit applies to a connection; the zero Prefix without one.
func (l *limited) source(nc net.Conn) netip.Prefix {
	peer, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil || l.cfg.Trusted.trusts(peer.Addr()) {
		return netip.Prefix{}
	}
	return subnet(peer.Addr())
}

func (l *limited) address(source netip.Prefix) *group {
	g := l.from[source]
	if g == nil {
		g = &group{limit: limitAddress, most: l.cfg.Limits.ConnectionsPerAddress}
		l.from[source] = g
	}
	return g
}

// tidy deletes the group of an address without connections.
func (l *limited) tidy(source netip.Prefix) {
	if g := l.from[source]; g != nil && g.open == 0 {
		delete(l.from, source)
	}
}
