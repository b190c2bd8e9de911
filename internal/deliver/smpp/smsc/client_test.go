package smsc_test

import (
	"net"
	"sync"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// pipes is a listener for connections within the process, for use in a synctest
// bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// lab is an SMSC behind pipes. It is closed by close, or at the end of the test.
type lab struct {
	*smsc.Server
	t     *testing.T
	pipes *pipes
	done  sync.WaitGroup
}

func newLab(t *testing.T, c smsc.Config) *lab {
	t.Helper()
	l := &lab{Server: smsc.New(c), t: t, pipes: newPipes()}
	l.done.Go(func() {
		if err := l.Serve(l.pipes); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		l.done.Wait()
	})
	return l
}

// client is an ESME under the control of the test.
type client struct {
	t        *testing.T
	conn     net.Conn
	reader   *pdu.Reader
	sequence uint32
}

// connect opens an unbound session.
func (l *lab) connect() *client {
	l.t.Helper()
	ours, theirs := net.Pipe()
	l.pipes.conns <- theirs
	return newClient(l.t, ours)
}

func newClient(t *testing.T, conn net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, reader: pdu.NewReader(conn)}
}

// bind opens a session and binds it.
func (l *lab) bind(kind pdu.Command) *client {
	l.t.Helper()
	c := l.connect()
	c.bind(kind, "esme", "secret")
	return c
}

func (c *client) bind(kind pdu.Command, id, password string) {
	c.t.Helper()
	resp := c.request(&pdu.Bind{Kind: kind, SystemID: id, Password: password, InterfaceVersion: pdu.Version34})
	if resp.Status != pdu.StatusOK {
		c.t.Fatalf("bind: %v", resp.Status)
	}
}

// send writes a request and returns its sequence number.
func (c *client) send(body pdu.Body) uint32 {
	c.t.Helper()
	c.sequence++
	c.write(pdu.PDU{Sequence: c.sequence, Body: body})
	return c.sequence
}

func (c *client) write(p pdu.PDU) {
	c.t.Helper()
	b, err := pdu.Append(nil, p)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() pdu.PDU {
	c.t.Helper()
	p, err := c.reader.Next()
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// request sends a request and returns its response or a generic_nack, which must be
// the next PDU.
func (c *client) request(body pdu.Body) pdu.PDU {
	c.t.Helper()
	n := c.send(body)
	p := c.read()
	if p.Sequence != n || p.Body.Command() != body.Command().Response() && p.Body.Command() != pdu.CommandGenericNack {
		c.t.Fatalf("%v %d is answered with %v %d", body.Command(), n, p.Body.Command(), p.Sequence)
	}
	return p
}

// ended requires that the SMSC has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if p, err := c.reader.Next(); err == nil {
		c.t.Fatalf("the connection is open and received %v", p.Body.Command())
	}
}

const (
	phone  = "447700900123"
	sender = "Acme"
)

// sms returns a message with registered_delivery set to receipt.
func sms(text string, receipt uint8) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{
		Source:             pdu.Address{TON: pdu.TONAlphanumeric, Addr: sender},
		Destination:        pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: phone},
		RegisteredDelivery: receipt,
		ShortMessage:       []byte(text),
	}}
}

// submit sends a message and returns its id.
func (c *client) submit(m *pdu.SubmitSM) string {
	c.t.Helper()
	p := c.request(m)
	if p.Status != pdu.StatusOK {
		c.t.Fatalf("submit_sm: %v", p.Status)
	}
	return messageID(c.t, p)
}

func messageID(t *testing.T, p pdu.PDU) string {
	t.Helper()
	resp, ok := p.Body.(*pdu.SubmitSMResp)
	if !ok || resp.MessageID.MessageID == "" {
		t.Fatalf("no message id in %+v", p.Body)
	}
	return resp.MessageID.MessageID
}

// receipt reads a receipt and acknowledges it.
func (c *client) receipt(status pdu.Status) *pdu.DeliverSM {
	c.t.Helper()
	p := c.read()
	m, ok := p.Body.(*pdu.DeliverSM)
	if !ok || !m.IsReceipt() {
		c.t.Fatalf("got %v %+v, want a receipt", p.Body.Command(), p.Body)
	}
	c.write(pdu.PDU{Status: status, Sequence: p.Sequence, Body: &pdu.DeliverSMResp{}})
	return m
}
