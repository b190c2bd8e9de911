package softphone

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// socket is a bound socket. Either packets or streams is set.
type socket struct {
	packets net.PacketConn
	streams net.Listener
	serving sync.WaitGroup
}

// open binds the socket and starts to serve requests.
func (p *Phone) open() (err error) {
	if err := p.bind(); err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler) // sipgo logs whole messages
	p.ua, err = sipgo.NewUA(sipgo.WithUserAgent("softphone"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerReadFilter(p.filter), sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {}))) // ignores a repeated 200
	if err != nil {
		return err
	}
	server, err := sipgo.NewServer(p.ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		return err
	}
	server.OnInvite(p.onInvite)
	server.OnAck(p.onAck)
	server.OnBye(p.onBye)
	server.OnUpdate(p.inDialog((*call).onUpdate))
	server.OnInfo(p.inDialog(func(_ *call, req *sip.Request, tx sip.ServerTransaction) { respond(tx, req, 200, "OK") }))
	server.OnRegister(p.onRegister)
	server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) { respond(tx, req, 200, "OK") })
	if p.dialog, err = p.dialogs(sipgo.WithClientLogger(quiet)); err != nil {
		return err
	}
	p.serve(server) // last, since calls may arrive from here on
	return nil
}

// dialogs returns the client for requests within calls.
func (p *Phone) dialogs(options ...sipgo.ClientOption) (sipgo.DialogUA, error) {
	contact := sip.Uri{Scheme: "sip", User: "phone", Host: host(p.addr.Addr()), Port: int(p.addr.Port())}
	options = append(options, sipgo.WithClientHostname(p.addr.Addr().String()))
	stream := p.cfg.Transport != "udp"
	if stream {
		contact.UriParams = sip.NewParams()
		contact.UriParams.Add("transport", p.cfg.Transport)
	} else {
		options = append(options, sipgo.WithClientConnectionAddr(p.Addr()))
	}
	client, err := sipgo.NewClient(p.ua, options...)
	return sipgo.DialogUA{
		Client: client, ContactHDR: sip.ContactHeader{Address: contact},
		RewriteContact: stream, // reuse the connection of the call
	}, err
}

// host returns an address as host of a URI.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// bind binds the configured address.
func (p *Phone) bind() (err error) {
	s := &p.socket
	if p.cfg.Transport == "udp" {
		if s.packets, err = (&net.ListenConfig{}).ListenPacket(p.ctx, "udp", p.cfg.Listen); err == nil {
			p.addr, err = netip.ParseAddrPort(s.packets.LocalAddr().String())
		}
		return err
	}
	if s.streams, err = (&net.ListenConfig{}).Listen(p.ctx, "tcp", p.cfg.Listen); err != nil {
		return err
	}
	if p.cfg.Transport == "tls" {
		s.streams = tls.NewListener(s.streams, p.cfg.TLS)
	}
	p.addr, err = netip.ParseAddrPort(s.streams.Addr().String())
	return err
}

// serve reads from the socket until it is closed.
func (p *Phone) serve(server *sipgo.Server) {
	s := &p.socket
	packets, streams := s.packets, s.streams
	if p.cfg.OddHeaders {
		packets, streams = oddPackets{packets}, oddListener{streams}
	}
	switch p.cfg.Transport {
	case "tcp":
		s.serving.Go(func() { _ = server.ServeTCP(streams) })
	case "tls":
		s.serving.Go(func() { _ = server.ServeTLS(streams) })
	default:
		conn := &noticed{PacketConn: packets, read: make(chan struct{})}
		s.serving.Go(func() { _ = server.ServeUDP(conn) })
		<-conn.read
	}
}

func (s *socket) close(ua *sipgo.UserAgent) error {
	var err error
	if s.streams != nil {
		err = s.streams.Close()
	}
	if ua != nil {
		err = errors.Join(err, ua.Close())
	}
	if s.packets != nil {
		_ = s.packets.Close() // the user agent may have closed it
	}
	s.serving.Wait()
	return err
}

// noticed closes read at its first ReadFrom. From then on sipgo sends requests from this
// socket; before, it would open another one.
type noticed struct {
	net.PacketConn
	read chan struct{}
	once sync.Once
}

// ReadFrom implements [net.PacketConn].
func (c *noticed) ReadFrom(b []byte) (int, net.Addr, error) {
	c.once.Do(func() { close(c.read) })
	return c.PacketConn.ReadFrom(b)
}

// crossingWait bounds the time for which a CANCEL is held back.
const crossingWait = 2 * time.Second

// filter is called with each message before it is parsed. It discards messages of a
// silent or dropped phone.
func (p *Phone) filter(_ sip.TransportReadProps, data []byte) ([]byte, error) {
	if p.cfg.Silent || p.gone.Load() {
		p.ignored.Add(1)
		return nil, nil
	}
	if p.cfg.Late && bytes.HasPrefix(data, []byte("CANCEL ")) {
		p.hold(data)
	}
	return data, nil
}

// hold delays a CANCEL until its call was answered, so that both cross.
func (p *Phone) hold(cancel []byte) {
	var found *call
	p.mu.Lock()
	for id, c := range p.live {
		if bytes.Contains(cancel, []byte(id)) {
			found = c
		}
	}
	p.mu.Unlock()
	if found == nil {
		return
	}
	found.cross.Do(func() { close(found.crossing) })
	select {
	case <-found.crossed:
	case <-p.ctx.Done():
	case <-time.After(crossingWait):
	}
}

func respond(tx sip.ServerTransaction, req *sip.Request, status int, reason string, headers ...sip.Header) {
	res := sip.NewResponseFromRequest(req, status, reason, nil)
	for _, h := range headers {
		res.AppendHeader(h)
	}
	_ = tx.Respond(res) // the peer retransmits its request
}

// inDialog returns a handler that passes a request to its call, or responds with 481.
func (p *Phone) inDialog(handle func(*call, *sip.Request, sip.ServerTransaction)) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		if id := req.CallID(); id != nil {
			if c := p.find(id.Value()); c != nil {
				handle(c, req, tx)
				return
			}
		}
		respond(tx, req, 481, "Call/Transaction Does Not Exist")
	}
}
