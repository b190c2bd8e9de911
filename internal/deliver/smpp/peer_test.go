package smpp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// pipes connects a carrier to a test without a network, for use in a synctest bubble. It
// is also a listener for an SMSC.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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

// openIn is open for a synctest bubble.
func openIn(t *testing.T, far smsc.Config, change ...func(*smpp.Config)) *desk {
	t.Helper()
	if far.MaxMessages == 0 {
		far.MaxMessages = 100_000
	}
	srv, p := smsc.New(far), newPipes()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(p); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
	})
	return openTo(t, srv, append([]func(*smpp.Config){func(c *smpp.Config) { c.Dial = p.dial }}, change...)...)
}

// peer is an SMSC under the control of a test.
type peer struct {
	t      *testing.T
	conn   net.Conn
	reader *pdu.Reader
}

// openPeer returns a carrier bound to a peer, both in a synctest bubble.
func openPeer(t *testing.T, change ...func(*smpp.Config)) (*desk, *pipes, *peer) {
	t.Helper()
	pipes := newPipes()
	var first *peer
	var binding sync.WaitGroup
	binding.Go(func() { first = accept(t, pipes) })
	d := openTo(t, nil, append([]func(*smpp.Config){func(c *smpp.Config) { c.Dial = pipes.dial }}, change...)...)
	binding.Wait()
	t.Cleanup(func() { _ = pipes.Close() }) // before the carrier, so that it does not wait for an unbind_resp
	return d, pipes, first
}

// accept accepts the next connection of the carrier and its bind. It sends the early
// PDUs before the response.
func accept(t *testing.T, from *pipes, early ...pdu.PDU) *peer {
	conn, err := from.Accept()
	if err != nil {
		t.Error(err)
		return nil
	}
	p := &peer{t, conn, pdu.NewReader(conn)}
	t.Cleanup(func() { _ = conn.Close() })
	got := p.next()
	bind, ok := got.Body.(*pdu.Bind)
	if !ok {
		t.Errorf("the first PDU is %T", got.Body)
		return nil
	}
	for _, one := range early {
		p.send(one)
	}
	p.send(pdu.PDU{Sequence: got.Sequence, Body: &pdu.BindResp{Kind: bind.Kind, SystemID: "peer"}})
	return p
}

// next reads the next PDU of the carrier.
func (p *peer) next() pdu.PDU {
	got, err := p.reader.Next()
	if err != nil {
		p.t.Errorf("peer reads: %v", err)
		return pdu.PDU{Body: &pdu.GenericNack{}}
	}
	return got
}

// send writes a PDU to the carrier.
func (p *peer) send(what pdu.PDU) {
	octets, err := pdu.Append(nil, what)
	if err == nil {
		_, err = p.conn.Write(octets)
	}
	if err != nil {
		p.t.Errorf("peer writes: %v", err)
	}
}

// accepts answers a submit_sm with ESME_ROK.
func (p *peer) accepts(submit pdu.PDU, id string) {
	p.send(pdu.PDU{Sequence: submit.Sequence, Body: &pdu.SubmitSMResp{MessageID: pdu.MessageID{MessageID: id}}})
}

// ended requires that the carrier has closed the connection.
func (p *peer) ended() {
	p.t.Helper()
	if got, err := p.reader.Next(); !errors.Is(err, io.EOF) {
		p.t.Errorf("after the end: %+v, %v", got, err)
	}
}

// sending is a Send in progress.
type sending struct {
	done chan struct{}
	refs []string
	err  error
}

// begin sends a message in the background.
func (d *desk) begin(text string) *sending {
	s := &sending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		sub, err := d.Send(context.Background(), sms(text))
		s.refs, s.err = sub.Refs, err
	}()
	return s
}

func (s *sending) wait() error {
	<-s.done
	return s.err
}

// in runs a test in a synctest bubble, with simulated time.
func in(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
