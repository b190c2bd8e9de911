package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

// Hosts are the names that a listener serves. Checking the Host header prevents DNS
// rebinding: if the name of another site resolves to this server, the pages of that site
// still send its name.
type Hosts struct {
	Names    []string // DNS names and IP addresses; a leading "*." matches any subdomain
	Loopback bool     // only this machine reaches the listener
	// Pages are accessible without credentials. They require a name in Names, or a name
	// without a dot if Names is empty.
	Pages bool
}

// Serve reports whether a request for host, with or without a port, is for the listener.
// Loopback names are accepted on every listener, since no other machine can make a
// browser send them; so are Names. A listener that other machines reach also accepts
//
//   - IP addresses, which no DNS response can redirect,
//   - if Names is empty, all DNS names, since callers need credentials; for Pages only
//     names without a dot, which cannot be registered.
func (h Hosts) Serve(host string) bool {
	name, ok := hostname(host)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(name)
	isAddr := err == nil
	if isLoopback(name, addr, isAddr) || h.listed(name, addr, isAddr) {
		return true
	}
	switch {
	case h.Loopback:
		return false
	case isAddr:
		return true
	case h.Pages:
		return len(h.Names) == 0 && !strings.Contains(name, ".")
	default:
		return len(h.Names) == 0
	}
}

func isLoopback(name string, addr netip.Addr, isAddr bool) bool {
	if isAddr {
		return addr.Unmap().IsLoopback()
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") // RFC 6761, section 6.3
}

func (h Hosts) listed(name string, addr netip.Addr, isAddr bool) bool {
	for _, listed := range h.Names {
		listed = strings.ToLower(listed)
		if suffix, wild := strings.CutPrefix(listed, "*"); wild && strings.HasSuffix(name, suffix) {
			return true
		}
		if other, err := netip.ParseAddr(listed); err == nil && isAddr && other == addr.Unmap() || listed == name {
			return true
		}
	}
	return false
}

// hostname returns the name of a Host header in lower case, without port, brackets and
// final dot.
func hostname(host string) (string, bool) {
	name := host
	if strings.HasPrefix(host, "[") || strings.Count(host, ":") == 1 {
		var err error
		if name, _, err = net.SplitHostPort(host); err != nil {
			if !strings.HasPrefix(host, "[") || !strings.HasSuffix(host, "]") {
				return "", false
			}
			name = host[1 : len(host)-1]
		}
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return name, name != ""
}

// GateConfig configures a gate.
type GateConfig struct {
	Hosts Hosts
	// Writes reports whether a request changes state despite a safe method; nil means never.
	Writes func(*http.Request) bool
	// Refuse responds to a refused request, and to a request after a panic of next.
	Refuse func(w http.ResponseWriter, r *http.Request, code int, text string)

	Listener string // name in log lines and metrics
	Log      *slog.Logger
	Clock    clockwork.Clock
	Metrics  *Refusals
}

// Reasons of Refusals.
const (
	refusedHost = "host"
	refusedSite = "site"
)

// Refusals counts the requests that gates refuse.
type Refusals struct{ total *prometheus.CounterVec }

// NewRefusals registers the metric of gates.
func NewRefusals(metrics prometheus.Registerer) *Refusals {
	r := &Refusals{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_http_requests_refused_total",
		Help: "Requests refused before other processing, by listener and reason: host (name not served, 421) or site (browser request for a page of another site, 403).",
	}, []string{"listener", "reason"})}
	metrics.MustRegister(r.total)
	return r
}

// gate refuses requests that a browser was tricked into sending.
type gate struct {
	cfg   GateConfig
	sites *http.CrossOriginProtection
	next  http.Handler

	mu     sync.Mutex
	logged *minutely
}

// Gate returns a handler that passes requests to next. It responds 421 if the host is not
// served, and 403 if a browser requests a change of state for a page of another site. It
// logs a panic of next and responds 500.
func Gate(next http.Handler, cfg GateConfig) (http.Handler, error) {
	for _, reason := range []string{refusedHost, refusedSite} {
		cfg.Metrics.total.WithLabelValues(cfg.Listener, reason)
	}
	g := &gate{cfg: cfg, next: recovered(next, cfg.Log, cfg.Refuse), sites: http.NewCrossOriginProtection(), logged: newMinutely(cfg.Clock)}
	for _, name := range cfg.Hosts.Names {
		if strings.HasPrefix(name, "*") {
			continue
		}
		if addr, err := netip.ParseAddr(name); err == nil && addr.Is6() {
			name = "[" + name + "]"
		}
		// A proxy may replace the Host header, with which the origin is compared.
		for _, scheme := range []string{"https://", "http://"} {
			if err := g.sites.AddTrustedOrigin(scheme + name); err != nil {
				return nil, fmt.Errorf("server.names: %w", err)
			}
		}
	}
	return g, nil
}

// ServeHTTP implements [http.Handler].
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !g.served(r):
		g.cfg.Metrics.total.WithLabelValues(g.cfg.Listener, refusedHost).Inc()
		g.log(r.Host)
		g.cfg.Refuse(w, r, http.StatusMisdirectedRequest, "Misdirected Request: the Host header is not a name of this server, see server.names")
	case g.crossSite(r):
		g.cfg.Metrics.total.WithLabelValues(g.cfg.Listener, refusedSite).Inc()
		g.cfg.Refuse(w, r, http.StatusForbidden, "Forbidden: a browser sent this request for a page of another site")
	default:
		g.next.ServeHTTP(w, r)
	}
}

// served reports whether the host of a request is served. HTTP/1.0, which browsers do not
// use, does not require one.
func (g *gate) served(r *http.Request) bool {
	return r.Host == "" && !r.ProtoAtLeast(1, 1) || g.cfg.Hosts.Serve(r.Host)
}

// crossSite reports whether a request changes state for a page of another site, by
// Sec-Fetch-Site or, in older browsers, Origin. Other clients send neither header.
func (g *gate) crossSite(r *http.Request) bool {
	if g.cfg.Writes != nil && g.cfg.Writes(r) {
		post := *r
		post.Method = http.MethodPost
		r = &post
	}
	return g.sites.Check(r) != nil
}

func (g *gate) log(host string) {
	g.mu.Lock()
	due := g.logged.due()
	g.mu.Unlock()
	if !due {
		return
	}
	const longest = 253 // octets in a DNS name
	if len(host) > longest {
		host = host[:longest]
	}
	g.cfg.Log.Warn("requests for a host that is not served; if clients use this name, add it to server.names",
		"listener", g.cfg.Listener, "host", host)
}
