package sip_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"countersign/internal/deliver/sip/media"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// phone is a SIP phone of the test: it takes calls as its fields say.
type phone struct {
	status   int           // of the final response; 0: it answers
	ring     bool          // 180 before that
	forever  bool          // rings, and nothing more
	silent   bool          // says nothing at all
	password string        // asks for digest authentication
	press    string        // once answered
	info     string        // a key by INFO, once answered
	hangUp   time.Duration // after the answer; 0: it waits for the other side
	hold     bool          // re-INVITEs once answered, to hold and to go on
	badSDP   bool

	t       *testing.T
	address string
	dialogs *sipgo.DialogServerCache

	mu      sync.Mutex
	invites []*sip.Request
	heard   []byte
	ended   chan string // "bye" or "cancel", for each call
}

// start begins to take calls on a free port.
func (p *phone) start(t *testing.T) *phone {
	t.Helper()
	p.t, p.ended = t, make(chan string, 100)
	quiet := slog.New(slog.DiscardHandler)
	ua, err := sipgo.NewUA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sipgo.NewServer(ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = conn.LocalAddr().String()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	client, err := sipgo.NewClient(ua, sipgo.WithClientLogger(quiet), sipgo.WithClientConnectionAddr(p.address))
	if err != nil {
		t.Fatal(err)
	}
	p.dialogs = sipgo.NewDialogServerCache(client, sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: "phone", Host: "127.0.0.1", Port: port}})
	server.OnInvite(p.invite)
	server.OnAck(func(req *sip.Request, tx sip.ServerTransaction) { _ = p.dialogs.ReadAck(req, tx) })
	server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
		_ = p.dialogs.ReadBye(req, tx)
		p.ended <- "bye"
	})
	served, reading := make(chan struct{}), &noticed{PacketConn: conn, read: make(chan struct{})}
	go func() {
		defer close(served)
		_ = server.ServeUDP(reading)
	}()
	<-reading.read
	t.Cleanup(func() {
		_ = ua.Close()
		_ = conn.Close()
		<-served
	})
	return p
}

// noticed tells when it is read from: sipgo knows the socket from then on.
type noticed struct {
	net.PacketConn
	read chan struct{}
	once sync.Once
}

func (c *noticed) ReadFrom(b []byte) (int, net.Addr, error) {
	c.once.Do(func() { close(c.read) })
	return c.PacketConn.ReadFrom(b)
}

func (p *phone) calls() []*sip.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*sip.Request(nil), p.invites...)
}

func (p *phone) has(sound func([]byte) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sound(p.heard)
}

func (p *phone) invite(req *sip.Request, tx sip.ServerTransaction) {
	p.mu.Lock()
	p.invites = append(p.invites, req)
	p.mu.Unlock()
	if p.silent {
		<-tx.Done()
		return
	}
	if p.password != "" && !p.authentic(req) {
		res := sip.NewResponseFromRequest(req, 407, "Proxy Authentication Required", nil)
		res.AppendHeader(sip.NewHeader("Proxy-Authenticate", `Digest realm="test", nonce="n0nce", algorithm=MD5, qop="auth"`))
		_ = tx.Respond(res)
		return
	}
	dialog, err := p.dialogs.ReadInvite(req, tx)
	if err != nil {
		p.t.Errorf("the phone: %v", err)
		return
	}
	defer dialog.Close()
	if p.ring || p.forever {
		_ = dialog.Respond(180, "Ringing", nil)
	}
	if p.forever {
		<-dialog.Context().Done()
		p.ended <- "cancel"
		return
	}
	if p.status != 0 {
		_ = dialog.Respond(p.status, "No", nil)
		return
	}
	p.talk(dialog, req)
}

func (p *phone) authentic(req *sip.Request) bool {
	h := req.GetHeader("Proxy-Authorization")
	if h == nil {
		return false
	}
	cred, err := digest.ParseCredentials(h.Value())
	if err != nil {
		return false
	}
	chal, err := digest.ParseChallenge(`Digest realm="test", nonce="n0nce", algorithm=MD5, qop="auth"`)
	if err != nil {
		return false
	}
	want, err := digest.Digest(chal, digest.Options{
		Method: "INVITE", URI: cred.URI, Username: "acme", Password: p.password, Cnonce: cred.Cnonce, Count: cred.Nc,
	})
	return err == nil && want.Response == cred.Response
}

// talk answers, listens, and does what the phone does in a call.
func (p *phone) talk(dialog *sipgo.DialogServerSession, req *sip.Request) {
	session, err := media.Open(media.Config{
		Local: loopback, FirstPort: 40000, LastPort: 49999,
		Tap: func(_ uint8, payload []byte) {
			p.mu.Lock()
			p.heard = append(p.heard, payload...)
			p.mu.Unlock()
		},
	})
	if err != nil {
		p.t.Errorf("the phone: %v", err)
		return
	}
	defer session.Close()
	offer, err := media.Parse(req.Body())
	if err != nil {
		p.t.Errorf("the phone cannot read the offer: %v", err)
		return
	}
	answer, err := session.Answer(offer)
	if err == nil {
		err = session.Start(offer)
	}
	if err != nil {
		p.t.Errorf("the phone: %v", err)
		return
	}
	body := answer.Marshal()
	if p.badSDP {
		body = []byte("v=0\r\nm=video 1 RTP/AVP 31\r\n")
	}
	if dialog.RespondSDP(body) != nil {
		return
	}
	if p.press != "" {
		_ = session.Press(p.press)
	}
	p.request(dialog, answer)
	if p.hangUp > 0 {
		select {
		case <-time.After(p.hangUp):
			_ = dialog.Bye(context.Background())
			p.ended <- "hung up"
		case <-dialog.Context().Done():
		}
		return
	}
	<-dialog.Context().Done()
}

// request makes the requests of a phone within the call.
func (p *phone) request(dialog *sipgo.DialogServerSession, answer media.Description) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if p.info != "" {
		time.Sleep(150 * time.Millisecond) // in the middle of the announcement
		req := sip.NewRequest(sip.INFO, dialog.InviteRequest.Contact().Address)
		req.AppendHeader(sip.NewHeader("Content-Type", "application/dtmf-relay"))
		req.SetBody([]byte("Signal=" + p.info + "\r\nDuration=160\r\n"))
		if res, err := dialog.Do(ctx, req); err != nil || !res.IsSuccess() {
			p.t.Errorf("INFO: %v, %v", res, err)
		}
	}
	if !p.hold {
		return
	}
	for i, direction := range []media.Direction{media.SendOnly, media.SendRecv} {
		answer.Direction, answer.Version = direction, uint64(i+2)
		req := sip.NewRequest(sip.INVITE, dialog.InviteRequest.Contact().Address)
		req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		req.SetBody(answer.Marshal())
		res, err := dialog.Do(ctx, req)
		if err != nil || !res.IsSuccess() {
			p.t.Errorf("re-INVITE %s: %v, %v", direction, res, err)
			return
		}
		said, err := media.Parse(res.Body())
		if want := map[media.Direction]media.Direction{media.SendOnly: media.RecvOnly, media.SendRecv: media.SendRecv}[direction]; err != nil || said.Direction != want {
			p.t.Errorf("re-INVITE %s is answered with %+v (%v)", direction, said, err)
		}
	}
}

func portOf(address string) int {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return n
}
