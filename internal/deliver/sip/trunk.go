package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// trunk is the SIP side of a carrier: one local address, from which all calls are
// made and where their peers reach us.
type trunk struct {
	cfg     *Config
	log     *slog.Logger
	ua      *sipgo.UserAgent
	client  *sipgo.Client
	server  *sipgo.Server
	contact sip.ContactHeader
	local   netip.Addr // as the other side is told
	metrics *metrics

	mu          sync.Mutex
	calls       map[string]*call       // by Call-ID
	invitations map[string]*invitation // by Call-ID

	listener *net.UDPConn // nil for TCP and TLS: a trunk does not listen for connections
	gate     *gate
	streams  streams
	serving  sync.WaitGroup
	stop     context.CancelFunc // ends keep
}

// openTrunk makes the sockets. The caller must close it.
func openTrunk(cfg *Config, log *slog.Logger, m *metrics) (*trunk, error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	t := &trunk{cfg: cfg, log: log, metrics: m, calls: map[string]*call{}, invitations: map[string]*invitation{}}
	t.gate = newGate(cfg, log, m)
	t.streams.passes = t.gate.passes
	if t.local, err = localAddress(cfg, host); err != nil {
		return nil, err
	}
	t.ua, err = sipgo.NewUA(sipgo.WithUserAgent("countersign"), sipgo.WithUserAgentHostname(t.local.String()),
		sipgo.WithUserAgenTLSConfig(cfg.TLS),
		sipgo.WithUserAgentTransactionLayerOptions(
			sip.WithTransactionLayerLogger(quiet()),
			sip.WithTransactionLayerTerminateOnConnClose(),
			sip.WithTransactionLayerUnhandledResponseHandler(t.handleUnmatched),
		),
		sipgo.WithUserAgentTransportLayerOptions(
			sip.WithTransportLayerLogger(quiet()),
			sip.WithTransportLayerReadFilter(t.streams.filter),
		))
	if err != nil {
		return nil, err
	}
	t.ua.TransportLayer().OnMessage(t.came)
	t.ua.TransportLayer().OnMessage(t.overhear)
	if err := t.open(host, port); err != nil {
		return nil, errors.Join(err, t.ua.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	t.serving.Go(func() { t.keep(ctx) })
	return t, nil
}

// keep resolves the names of the trunk every minute until ctx ends, and logs dropped
// packets that have no log line yet.
func (t *trunk) keep(ctx context.Context) {
	for {
		if t.listener != nil {
			t.gate.sources.resolve(ctx)
		}
		if !sleep(ctx, resolveEvery) {
			return
		}
		t.gate.report()
	}
}

func (t *trunk) open(host, port string) (err error) {
	if t.server, err = sipgo.NewServer(t.ua, sipgo.WithServerLogger(quiet())); err != nil {
		return err
	}
	t.handle()
	options := []sipgo.ClientOption{sipgo.WithClientLogger(quiet()), sipgo.WithClientNAT(), sipgo.WithClientHostname(t.local.String())}
	contact := sip.Uri{Scheme: "sip", User: "countersign", Host: t.local.String()}
	if t.cfg.Transport == "udp" {
		listener, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", net.JoinHostPort(host, port))
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		t.listener = listener.(*net.UDPConn)                      //nolint:forcetypeassert // it listens on UDP
		bound := t.listener.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // it listens on UDP
		contact.Port = int(bound.Port())
		options = append(options, sipgo.WithClientConnectionAddr(t.listener.LocalAddr().String()), sipgo.WithClientPort(contact.Port))
		conn := &gatedConn{UDPConn: t.listener, gate: t.gate, read: make(chan struct{})}
		t.serving.Go(func() { _ = t.server.ServeUDP(conn) }) // it ends when the socket is closed
		<-conn.read
	} else {
		contact.UriParams = sip.NewParams()
		contact.UriParams.Add("transport", t.cfg.Transport)
	}
	if t.client, err = sipgo.NewClient(t.ua, options...); err != nil {
		return err
	}
	t.contact = sip.ContactHeader{Address: contact}
	return nil
}

// handle registers the handlers of requests. It must be called before the server
// reads, since sipgo does not lock them.
func (t *trunk) handle() {
	t.server.OnBye(t.inDialog((*call).onBye))
	t.server.OnInvite(t.inDialog((*call).onInvite))
	t.server.OnInfo(t.inDialog((*call).onInfo))
	t.server.OnUpdate(t.inDialog((*call).onUpdate))
	t.server.OnAck(t.onAck)
	t.server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) { respond(tx, req, 200, "OK") })
}

// quiet is for sipgo, which logs whole messages.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// localAddress is where the other side reaches us: what the operator says, or the
// address that leads to the trunk.
func localAddress(cfg *Config, host string) (netip.Addr, error) {
	if cfg.Advertise.IsValid() {
		return cfg.Advertise, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() {
		return addr, nil
	}
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "udp", cfg.hop()) // sends nothing
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the local address: %w", err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap() //nolint:forcetypeassert // it dials UDP
	return addr, conn.Close()
}

// hop is host:port of what everything is sent to.
func (c *Config) hop() string {
	host := c.Host
	if c.OutboundProxy != "" {
		host = c.OutboundProxy
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := 5060
	if c.Transport == "tls" {
		port = 5061
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

// uri is a SIP address at the trunk.
func (c *Config) uri(user string) sip.Uri {
	u := sip.Uri{Scheme: "sip", User: user, Host: c.Host}
	if host, port, err := net.SplitHostPort(c.Host); err == nil {
		u.Host = host
		u.Port, _ = strconv.Atoi(port) // hostForm has looked at it
	}
	return u
}

func (t *trunk) media() (*media.Session, error) {
	local := netip.IPv4Unspecified()
	if t.local.Is6() {
		local = netip.IPv6Unspecified()
	}
	if t.local.IsLoopback() {
		local = t.local
	}
	return media.Open(media.Config{
		Local: local, Advertise: t.local, FirstPort: t.cfg.FirstPort, LastPort: t.cfg.LastPort,
		Secure: t.cfg.SRTP, Latch: t.cfg.Latch,
	})
}

func (t *trunk) add(c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[c.id] = c
}

// find returns the call that a message belongs to, nil for none.
func (t *trunk) find(m sip.Message) *call {
	id := m.CallID()
	if id == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[id.Value()]
}

// overhear keeps the addresses of the peers of a call, and the SDP of provisional
// responses. It sees messages in their order of arrival: sipgo handles each response in
// a goroutine, and drops a 183 that its 200 overtakes.
func (t *trunk) overhear(m sip.Message) {
	c := t.find(m)
	if c == nil {
		return
	}
	if t.listener != nil {
		t.meet(m)
	}
	if res, ok := m.(*sip.Response); ok && res.IsProvisional() && describes(res.Body()) {
		c.promise(res)
	}
}

// maxRoute bounds the addresses of one message that are admitted.
const maxRoute = 10

// meet admits the addresses in Contact and Record-Route of a message of a call:
// requests of the call may come from any of them (RFC 3261 §12.2). The addresses of a
// host name are admitted when a request is sent to it.
func (t *trunk) meet(m sip.Message) {
	var hosts []string
	for _, h := range m.GetHeaders("Contact") {
		if c, ok := h.(*sip.ContactHeader); ok {
			hosts = append(hosts, c.Address.Host)
		}
	}
	for _, h := range m.GetHeaders("Record-Route") {
		if r, ok := h.(*sip.RecordRouteHeader); ok {
			hosts = append(hosts, r.Address.Host)
		}
	}
	for _, host := range hosts[:min(len(hosts), maxRoute)] {
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && !t.gate.sources.listed(addr) {
			t.gate.sources.meet(addr)
		}
	}
}

// owner returns the call in which a request was sent, nil for none. A request of another
// phone that answered the same INVITE has none.
func (t *trunk) owner(req *sip.Request) *call {
	c := t.find(req)
	if c == nil || !t.ours(c.id, req) {
		return nil
	}
	return c
}

// onAck hands an ACK to the call that it belongs to. An ACK has no response.
func (t *trunk) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if c := t.owner(req); c != nil {
		c.onAck(req)
	}
}

// inDialog hands a request to the call that it belongs to.
func (t *trunk) inDialog(handle func(*call, *sip.Request, sip.ServerTransaction)) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		c := t.owner(req)
		if c == nil {
			respond(tx, req, 481, "Call/Transaction Does Not Exist")
			return
		}
		handle(c, req, tx)
	}
}

func respond(tx sip.ServerTransaction, req *sip.Request, code int, reason string) {
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	_ = tx.Respond(res) // who asked asks again
}

func (t *trunk) close() error {
	t.stop()
	err := t.ua.Close()
	if t.listener != nil {
		_ = t.listener.Close() // the user agent may have closed it
	}
	t.serving.Wait()
	return err
}

// sleep waits, and reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
