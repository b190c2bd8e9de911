package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/adminapi"
	"countersign/internal/apiv1"
	"countersign/internal/config"
	"countersign/internal/web"
)

// operatorConnections limits the connections of each operations and admin listener. A
// flood of API connections does not affect these limits.
const operatorConnections = 16

type listener struct {
	net.Listener
	server *http.Server
}

// part is a listener, or a part of one, with its own access rules.
type part struct {
	name    string
	setting string // key of the address
	address func(config.Config) string
	pages   bool                     // for browsers, without credentials
	writes  func(*http.Request) bool // see web.GateConfig
	refuse  func(w http.ResponseWriter, r *http.Request, code int, text string)
}

func apiListener() part {
	return part{
		name: "api", setting: "listen", address: func(c config.Config) string { return c.Listen },
		writes: apiv1.ChangesState, refuse: apiv1.Refuse,
	}
}

// pagesListener is the part of the API listener for browsers.
func pagesListener() part {
	return part{
		name: "pages", setting: "listen", address: func(c config.Config) string { return c.Listen },
		pages: true, refuse: web.RefuseText,
	}
}

func opsListener() part {
	return part{
		name: "ops", setting: "ops_listen", address: func(c config.Config) string { return c.OpsListen },
		// A profile takes CPU time: no page of another site may start one.
		writes: func(r *http.Request) bool { return r.URL.Path == web.ProfilePath },
		refuse: web.RefuseText,
	}
}

func adminListener() part {
	return part{
		name: "admin", setting: "admin.listen", address: func(c config.Config) string { return c.Admin.Listen },
		refuse: adminapi.Refuse,
	}
}

// gate protects a part from requests that browsers were tricked into sending.
func (s *Server) gate(next http.Handler, p part) (http.Handler, error) {
	cfg := s.opts.Config
	names := cfg.Server.Names
	if u, err := url.Parse(cfg.Admin.URL); err == nil && u.Hostname() != "" && (len(names) > 0 || config.Loopback(p.address(cfg))) && p.name == adminListener().name {
		names = append([]string{u.Hostname()}, names...)
	}
	return web.Gate(next, web.GateConfig{
		Hosts:  web.Hosts{Names: names, Loopback: config.Loopback(p.address(cfg)), Pages: p.pages},
		Writes: p.writes, Refuse: p.refuse,
		Listener: p.name, Log: s.log, Clock: s.opts.Clock, Metrics: s.refusals,
	})
}

func (s *Server) listenAPI(ctx context.Context, handler http.Handler) (err error) {
	cfg := s.opts.Config
	limits := webLimits(cfg.Limits)
	if limits.Connections, err = s.affordable(); err != nil {
		return err
	}
	if s.api, err = s.listen(ctx, apiListener(), handler, limits); err != nil {
		return err
	}
	s.url = "http://" + s.api.Addr().String()
	if s.api.server.TLSConfig, err = s.tlsConfig(); err != nil {
		return err
	}
	if s.api.server.TLSConfig != nil {
		s.url = "https://" + s.api.Addr().String()
	}
	return nil
}

// listenOps serves health and metrics, if they are configured. A listener on the loopback
// also serves CPU profiles: they take CPU time, and the listener has no credentials.
func (s *Server) listenOps(ctx context.Context, reg prometheus.Gatherer) error {
	address := s.opts.Config.OpsListen
	if address == "" {
		return nil
	}
	socket, err := s.bind(ctx, opsListener())
	if err != nil {
		return err
	}
	var profile http.Handler
	stopping := make(chan struct{})
	if onLoopback(address, socket.Addr()) {
		profile = web.CPUProfile(stopping)
	}
	handler, err := s.gate(web.Ops(reg, s.ready.Ready, func() any { return s.status() }, profile), opsListener())
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	if s.ops, err = s.limit(socket, opsListener(), handler, s.operatorLimits()); err != nil {
		return errors.Join(err, socket.Close())
	}
	s.ops.server.RegisterOnShutdown(sync.OnceFunc(func() { close(stopping) })) // else a running profile would delay the stop
	s.opsURL = "http://" + s.ops.Addr().String()
	return nil
}

// onLoopback reports whether only this machine reaches a listener with a configured and a
// bound address. The configured address decides which hosts the [web.Gate] refuses. The
// bound address is checked because the resolver may return any address for "localhost".
func onLoopback(configured string, bound net.Addr) bool {
	tcp, ok := bound.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback() && config.Loopback(configured)
}

func (s *Server) listen(ctx context.Context, p part, h http.Handler, limits web.Limits) (listener, error) {
	socket, err := s.bind(ctx, p)
	if err != nil {
		return listener{}, err
	}
	l, err := s.limit(socket, p, h, limits)
	if err != nil {
		return listener{}, errors.Join(err, socket.Close())
	}
	return l, nil
}

// bind opens the socket of a part. Errors are of type [ListenError].
func (s *Server) bind(ctx context.Context, p part) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.address(s.opts.Config))
	if err != nil {
		return nil, listenError(p.setting, p.address(s.opts.Config), err)
	}
	return l, nil
}

// limit returns the listener of a part, with its server and limits.
func (s *Server) limit(l net.Listener, p part, h http.Handler, limits web.Limits) (listener, error) {
	proxies, err := s.opts.Config.ProxyPrefixes()
	if err != nil {
		return listener{}, err
	}
	return listener{
		web.Limit(l, web.ListenerConfig{
			Name: p.name, Limits: limits, Trusted: proxies, Log: s.log, Clock: s.opts.Clock, Metrics: s.connections,
		}),
		web.NewServer(h, s.log, limits),
	}, nil
}

// ListenError indicates that a listener cannot bind to its address.
type ListenError struct {
	Setting string // key of the address, such as admin.listen
	Address string
	Err     error
}

func listenError(setting, address string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // op.Err omits the address
	}
	return &ListenError{setting, address, err}
}

// Error returns setting, address, cause and remedy.
func (e *ListenError) Error() string {
	remedy := ""
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		remedy = "; stop the program that uses it (ss -lnptu), or set another address"
	case errors.Is(e.Err, syscall.EACCES):
		remedy = "; set a port above 1023, or allow this one (CAP_NET_BIND_SERVICE)"
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		remedy = "; set an address of this machine"
	}
	return fmt.Sprintf("%s: cannot listen on %s: %v%s", e.Setting, e.Address, e.Err, remedy)
}

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

func webLimits(l config.Limits) web.Limits {
	return web.Limits{
		HeaderTimeout: l.HeaderTimeout, ReadTimeout: l.ReadTimeout, WriteTimeout: l.WriteTimeout, IdleTimeout: l.IdleTimeout,
		UnauthenticatedIdle: l.UnauthenticatedIdleTimeout, HeaderBytes: l.HeaderBytes,
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress,
	}
}

// operatorLimits returns the limits of the operations and admin listeners.
func (s *Server) operatorLimits() web.Limits {
	limits := webLimits(s.opts.Config.Limits)
	limits.Connections, limits.ConnectionsPerAddress = operatorConnections, 0
	return limits
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	if s.opts.TLS != nil {
		return s.opts.TLS, nil
	}
	return s.certificates.open(apiListener().name, apiFiles(s.opts.Config))
}
