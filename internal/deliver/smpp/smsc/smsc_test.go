package smsc_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// in runs a test in a synctest bubble, which has simulated time and detects leaked
// goroutines.
func in(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// TestSilence: a silent ESME gets an enquire_link, and then its connection is closed.
func TestSilence(t *testing.T) {
	t.Parallel()
	t.Run("bound", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := newLab(t, smsc.Config{EnquireLink: time.Minute}).bind(pdu.CommandBindTransmitter)
			for range 2 {
				began := time.Now()
				p := c.read()
				if _, ok := p.Body.(*pdu.EnquireLink); !ok || time.Since(began) != time.Minute {
					t.Fatalf("%v after %v", p.Body.Command(), time.Since(began))
				}
				c.write(pdu.PDU{Sequence: p.Sequence, Body: &pdu.EnquireLinkResp{}})
			}
			c.read()
			c.ended()
		})
	})
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := newLab(t, smsc.Config{}).bind(pdu.CommandBindTransmitter)
			await.Pass(24 * time.Hour)
			c.request(&pdu.EnquireLink{})
		})
	})
	t.Run("not bound", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := newLab(t, smsc.Config{}).connect()
			await.Pass(time.Minute)
			c.ended()
		})
	})
}

// TestESMEThatDoesNotRead: the SMSC stops reading and closes the connection.
func TestESMEThatDoesNotRead(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := newLab(t, smsc.Config{})
		c := l.bind(pdu.CommandBindTransceiver)
		request, _ := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: sms("hello", pdu.ReceiptAlways)})
		sent := 0
		for {
			c.conn.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := c.conn.Write(request); err != nil {
				break
			}
			sent++
		}
		if sent > 30_000 {
			t.Errorf("%d messages were read without a response", sent)
		}
		await.Pass(time.Minute)
		if got := l.Sessions(); len(got) != 0 {
			t.Errorf("%d sessions are left", len(got))
		}
	})
}

func TestHooks(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		var order []string
		l := newLab(t, smsc.Config{
			OnPDU: func(s *smsc.Session, p pdu.PDU) {
				order = append(order, s.SystemID()+" "+p.Body.Command().String())
			},
			OnMessage:     func(m smsc.Message) { order = append(order, "message "+m.Text) },
			AfterResponse: func(_ *smsc.Session, p pdu.PDU) { order = append(order, p.Body.Command().String()) },
		})
		c := l.bind(pdu.CommandBindTransceiver)
		synctest.Wait()
		c.submit(sms("hello", 0))
		synctest.Wait()
		want := " bind_transceiver, bind_transceiver_resp, esme submit_sm, message hello, submit_sm_resp"
		if got := strings.Join(order, ", "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

// TestHookCloses: a hook can close the connection at each step.
func TestHookCloses(t *testing.T) {
	t.Parallel()
	isSubmit := func(p pdu.PDU) bool { return p.Body.Command()&^0x80000000 == pdu.CommandSubmitSM }
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := newLab(t, smsc.Config{MaxMessages: 1, OnPDU: func(s *smsc.Session, p pdu.PDU) {
				if isSubmit(p) {
					s.Close()
				}
			}})
			c := l.bind(pdu.CommandBindTransceiver)
			c.send(sms("hello", 0))
			c.ended()
		})
	})
	t.Run("after", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := newLab(t, smsc.Config{AfterResponse: func(s *smsc.Session, p pdu.PDU) {
				if isSubmit(p) {
					s.Close()
				}
			}})
			c := l.bind(pdu.CommandBindTransceiver)
			c.submit(sms("hello", pdu.ReceiptAlways))
			c.ended()
			l.bind(pdu.CommandBindReceiver).receipt(pdu.StatusOK)
		})
	})
}

// TestTCP uses Start, as tests of other packages do.
func TestTCP(t *testing.T) {
	t.Parallel()
	s := smsc.Start(t, smsc.Config{MaxMessages: 1})
	for range 2 {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, conn)
		c.bind(pdu.CommandBindTransceiver, "esme", "")
		id := c.submit(sms("hello", pdu.ReceiptAlways))
		if got, _ := c.receipt(pdu.StatusOK).TLVs.Text(pdu.TagReceiptedMessageID); got != id {
			t.Errorf("receipt for %q, want %q", got, id)
		}
		c.request(&pdu.EnquireLink{}) // the receipt is acknowledged before this
		s.DropAll()
		c.ended()
	}
	if got := s.Messages(); len(got) != 1 || got[0].Session != 2 {
		t.Errorf("kept messages %+v, want the last", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Listen("127.0.0.1:0"); err == nil {
		t.Error("Listen succeeds after Close")
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("connected after Close")
	}
}

// TestUnbindAll: the SMSC ends sessions.
func TestUnbindAll(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := newLab(t, smsc.Config{})
		all := []*client{l.bind(pdu.CommandBindTransmitter), l.bind(pdu.CommandBindReceiver)}
		l.UnbindAll()
		for _, c := range all {
			p := c.read()
			if p.Body.Command() != pdu.CommandUnbind {
				t.Fatalf("got %v", p.Body.Command())
			}
			c.write(pdu.PDU{Sequence: p.Sequence, Body: &pdu.UnbindResp{}})
			c.ended()
		}
		synctest.Wait()
		if got := l.Sessions(); len(got) != 0 {
			t.Errorf("%d sessions are left", len(got))
		}
	})
}

// TestBounds: the oldest messages and unsent receipts are dropped.
func TestBounds(t *testing.T) {
	t.Parallel()
	const kept, tooMany = 100_000, 7
	s := smsc.Start(t, smsc.Config{})
	connect := func() *client {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, conn)
	}
	tx := connect()
	tx.bind(pdu.CommandBindTransmitter, "esme", "")
	request, _ := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: sms("hello", pdu.ReceiptAlways)})
	var writing sync.WaitGroup
	writing.Go(func() { tx.conn.Write(bytes.Repeat(request, kept+tooMany)) })
	ids := make([]string, kept+tooMany)
	for i := range ids {
		ids[i] = messageID(t, tx.read())
	}
	writing.Wait()
	from := pdu.Address{Addr: sender}
	if got := tx.request(&pdu.QuerySM{MessageID: ids[0], Source: from}).Status; got != pdu.StatusInvalidMessageID {
		t.Errorf("the first message: %v", got)
	}
	if got := tx.request(&pdu.QuerySM{MessageID: ids[len(ids)-1], Source: from}).Status; got != pdu.StatusOK {
		t.Errorf("the last message: %v", got)
	}
	if got := s.Counters(); got.Accepted != kept+tooMany || got.ReceiptsDropped != tooMany || got.Receipts != 0 {
		t.Errorf("counts %+v", got)
	}
	rx := connect()
	rx.bind(pdu.CommandBindReceiver, "esme", "")
	for _, want := range ids[tooMany:] {
		if got := fields(t, rx.receipt(pdu.StatusOK))[0]; got != want {
			t.Fatalf("receipt for %q, want %q", got, want)
		}
	}
}

func TestListenError(t *testing.T) {
	t.Parallel()
	s := smsc.New(smsc.Config{})
	defer s.Close()
	if err := s.Listen(os.DevNull); err == nil {
		t.Error("no error")
	}
	if got := s.Addr(); got != "" {
		t.Errorf("address %q", got)
	}
}

// TestTLS: a client that trusts the certificate can bind; a client without TLS is
// rejected.
func TestTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // for its certificate
	defer web.Close()
	trusted := web.Client().Transport.(*http.Transport).TLSClientConfig
	s := smsc.Start(t, smsc.Config{TLS: &tls.Config{Certificates: web.TLS.Certificates}})

	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: trusted.RootCAs, ServerName: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	c.bind(pdu.CommandBindTransceiver, "esme", "")
	c.submit(sms("hello", pdu.ReceiptAlways))
	c.receipt(pdu.StatusOK)

	plain, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	p := newClient(t, plain)
	p.send(&pdu.Bind{Kind: pdu.CommandBindTransceiver, SystemID: "esme"})
	p.ended()
}
