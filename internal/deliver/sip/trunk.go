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

// trunk is the SIP side of a carrier: one local address for all calls and their peers.
type trunk struct {
	cfg     *Config
	log     *slog.Logger
	ua      *sipgo.UserAgent
	client  *sipgo.Client
	server  *sipgo.Server
	contact sip.ContactHeader
	local   netip.Addr // our address in SIP and SDP
	metrics *metrics

	mu          sync.Mutex
	calls       map[string]*call       // keyed by Call-ID
	invitations map[string]*invitation // keyed by Call-ID

	listener *net.UDPConn // nil for TCP and TLS: a trunk does not listen for connections
	gate     *gate
	streams  streams
	serving  sync.WaitGroup
	stop     context.CancelFunc // ends keep
}

// openTrunk opens the sockets of a trunk. The caller must close it.
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

// keep runs until ctx ends. Every minute it resolves the host names of the trunk (UDP
// only) and logs dropped packets.
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
		t.serving.Go(func() { _ = t.server.ServeUDP(conn) }) // returns when the socket is closed
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

// handle registers the request handlers. It must be called before the server reads,
// since sipgo does not lock them.
func (t *trunk) handle() {
	t.server.OnBye(t.inDialog((*call).onBye))
	t.server.OnInvite(t.inDialog((*call).onInvite))
	t.server.OnInfo(t.inDialog((*call).onInfo))
	t.server.OnUpdate(t.inDialog((*call).onUpdate))
	t.server.OnAck(t.onAck)
	t.server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) { respond(tx, req, 200, "OK") })
}

// quiet returns the logger for sipgo. It discards all, since sipgo logs whole messages.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// localAddress returns our address as the other side sees it: Advertise, the address in
// Listen, or the source address of the route to the trunk, in this order.
func localAddress(cfg *Config, host string) (netip.Addr, error) {
	if cfg.Advertise.IsValid() {
		return cfg.Advertise, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() {
		return addr, nil
	}
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "udp", cfg.hop()) // sends no packet
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the local address: %w", err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap() //nolint:forcetypeassert // it dials UDP
	return addr, conn.Close()
}

// hop returns the host:port that requests are sent to.
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

// uri returns the SIP URI of a user at the trunk.
func (c *Config) uri(user string) sip.Uri {
	u := sip.Uri{Scheme: "sip", User: user, Host: c.Host}
	if host, port, err := net.SplitHostPort(c.Host); err == nil {
		u.Host = host
		u.Port, _ = strconv.Atoi(port) // validated by hostForm
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

// find returns the call with the Call-ID of a message, or nil.
func (t *trunk) find(m sip.Message) *call {
	id := m.CallID()
	if id == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[id.Value()]
}

// overhear admits the peers of a call as sources and stores the SDP of provisional
// responses. It is called with messages in their order of arrival, whereas sipgo
// handles each response in a goroutine and drops a 183 overtaken by the 200.
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

// maxRoute bounds the addresses admitted per message.
const maxRoute = 10

// meet admits the addresses in Contact and Record-Route of a message, since requests of
// the call may originate from any of them (RFC 3261 §12.2). The addresses of a host
// name are admitted when a request is sent to it.
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

// owner returns the call of a request, or nil. A request of another phone that answered
// the same INVITE has no owner.
func (t *trunk) owner(req *sip.Request) *call {
	c := t.find(req)
	if c == nil || !t.ours(c.id, req) {
		return nil
	}
	return c
}

// onAck passes an ACK to its call. An ACK has no response.
func (t *trunk) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if c := t.owner(req); c != nil {
		c.onAck(req)
	}
}

// inDialog returns a handler that passes a request to its call, or responds with 481.
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
	_ = tx.Respond(res) // the peer retransmits its request
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

// sleep waits for d and returns false if ctx ends first.
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
