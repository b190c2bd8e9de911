package smpp_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// TestDeadPeer: a dead peer is detected within twice the interval, independent of the
// response timeout.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	for _, times := range []struct{ interval, timeout time.Duration }{
		{20 * time.Second, 5 * time.Second},
		{10 * time.Second, 10 * time.Second},
		{5 * time.Second, time.Minute},
		{time.Second, 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t, func(c *smpp.Config) {
					c.EnquireInterval, c.ResponseTimeout = times.interval, times.timeout
				})
				began := time.Now()
				got := p.next()
				if _, ok := got.Body.(*pdu.EnquireLink); !ok {
					t.Errorf("got %+v", got)
				}
				if asked := time.Since(began); asked < times.interval*9/10 || asked > times.interval*12/10 {
					t.Errorf("enquire_link after %v", asked)
				}
				p.ended()
				if found := time.Since(began); found > 2*times.interval {
					t.Errorf("found after %v", found)
				}
				synctest.Wait()
				if s := d.Status(); s.Up() != 0 || s.Binds[0].Error == "" {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// TestKeepAlive: the session is kept while the peer answers or sends other PDUs.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	answers := map[string]func(asked pdu.PDU) pdu.PDU{
		"answer":         func(asked pdu.PDU) pdu.PDU { return pdu.PDU{Sequence: asked.Sequence, Body: &pdu.EnquireLinkResp{}} },
		"something else": func(pdu.PDU) pdu.PDU { return pdu.PDU{Sequence: 5, Body: &pdu.AlertNotification{}} },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t)
				for range 10 {
					asked := p.next()
					if _, ok := asked.Body.(*pdu.EnquireLink); !ok {
						t.Errorf("got %+v", asked)
					}
					await.Pass(time.Second)
					p.send(answer(asked))
				}
				await.Pass(10 * time.Second)
				if d.Status().Up() != 1 {
					t.Errorf("status %+v", d.Status())
				}
			})
		})
	}
	t.Run("its own", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			_, _, p := openPeer(t)
			for i := range uint32(20) { // each is answered; the carrier sends none
				p.send(pdu.PDU{Sequence: 100 + i, Body: &pdu.EnquireLink{}})
				if got := p.next(); got.Sequence != 100+i || got.Body.Command() != pdu.CommandEnquireLink.Response() {
					t.Errorf("got %+v", got)
				}
				await.Pass(15 * time.Second)
			}
		})
	})
}

// TestMutePeer: the session ends and binds again if the peer answers enquire_link but
// no messages.
func TestMutePeer(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		var submits atomic.Int32
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for {
				got, err := p.reader.Next()
				if err != nil {
					return
				}
				if _, ok := got.Body.(*pdu.EnquireLink); ok {
					p.send(pdu.PDU{Sequence: got.Sequence, Body: &pdu.EnquireLinkResp{}})
				} else {
					submits.Add(1)
				}
			}
		}()
		if err := d.begin("lost").wait(); outcome(err) != "unclear" {
			t.Error(err)
		}
		await.Pass(time.Hour)
		if d.Status().Up() != 1 {
			t.Error("one lost response ended the session")
		}
		began := time.Now()
		for d.Status().Up() == 1 && time.Since(began) < time.Hour {
			_ = d.begin("lost").wait()
		}
		<-gone
		if took := time.Since(began); took > 30*time.Second || submits.Load() < 2 {
			t.Errorf("ended after %v and %d messages", took, submits.Load())
		}
	})
}

// TestDeafPeer: the memory for PDUs that a peer does not read is bounded.
func TestDeafPeer(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		_, _, p := openPeer(t, func(c *smpp.Config) { c.EnquireInterval = time.Hour })
		p.send(pdu.PDU{Sequence: 1, Body: &pdu.EnquireLink{}})
		began := time.Now()
		var one [1]byte
		await.Pass(time.Minute)
		if _, err := p.conn.Read(one[:]); err == nil {
			t.Error("the connection is open")
		}
		if time.Since(began) > time.Minute {
			t.Error("the connection was not closed in time")
		}
	})
	in(t, func(t *testing.T) {
		_, _, p := openPeer(t)
		octets, err := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: &pdu.EnquireLink{}})
		if err != nil {
			t.Fatal(err)
		}
		many := make([]byte, 0, 4096*len(octets))
		for range 4096 {
			many = append(many, octets...)
		}
		written := 0
		for ; err == nil && written < 64<<20; written += len(many) {
			_, err = p.conn.Write(many)
		}
		if err == nil || written > 8<<20 {
			t.Errorf("took %d octets of requests, %v", written, err)
		}
	})
}

// TestLostConnection: unwritten messages can be sent again; the outcome of written ones
// is unclear.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, p := openPeer(t)
		first := d.begin("first")
		p.next()
		second := d.begin("second") // blocked in the pipe, since the peer does not read
		synctest.Wait()
		var rest []*sending
		for range 5 {
			rest = append(rest, d.begin("rest"))
		}
		synctest.Wait()
		_ = p.conn.Close()
		if err := first.wait(); outcome(err) != "unclear" {
			t.Errorf("read by the peer: %v", err)
		}
		for _, s := range append(rest, second) {
			if err := s.wait(); outcome(err) != "not sent" {
				t.Errorf("never written: %v", err)
			}
		}
	})
}

// TestOtherBind: unwritten messages of one bind are sent over another.
func TestOtherBind(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		pipes := newPipes()
		peers := make(chan *peer, 2)
		go func() { peers <- accept(t, pipes); peers <- accept(t, pipes) }()
		d := openTo(t, nil, func(c *smpp.Config) { c.Dial, c.Binds = pipes.dial, 2 })
		deaf, good := <-peers, <-peers
		t.Cleanup(func() { _ = pipes.Close(); _ = good.conn.Close() })
		synctest.Wait()
		var all []*sending
		for range 10 {
			all = append(all, d.begin("hello"))
			synctest.Wait()
		}
		var got []pdu.PDU
		for range 5 {
			got = append(got, good.next())
		}
		deaf.next()
		synctest.Wait() // the other messages are in the pipe
		_ = deaf.conn.Close()
		for range 4 {
			got = append(got, good.next())
		}
		for _, p := range got {
			good.accepts(p, "1")
		}
		count := map[string]int{}
		for _, s := range all {
			count[outcome(s.wait())]++
		}
		if count["accepted"] != 9 || count["unclear"] != 1 {
			t.Errorf("%v", count)
		}
	})
}

// stutter is a connection that can interrupt a write.
type stutter struct {
	net.Conn
	hold  chan struct{} // if not nil, writes wait for it
	limit int           // octets written before an error
}

func (s *stutter) Write(b []byte) (int, error) {
	if s.hold == nil {
		return s.Conn.Write(b)
	}
	<-s.hold
	if len(b) <= s.limit {
		s.limit -= len(b)
		return len(b), nil
	}
	return s.limit, net.ErrClosed
}

// TestHalfWritten: the number of written octets determines which messages were sent.
func TestHalfWritten(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		size := len("hello") + 16 + 1 + (2 + len("Acme") + 1) + (2 + len(number) + 1) + 3 + 1 + 17 + 5
		hold := make(chan struct{})
		var wire *stutter
		pipes := newPipes()
		go accept(t, pipes)
		d := openTo(t, nil, func(c *smpp.Config) {
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				conn, err := pipes.dial(ctx, address)
				wire = &stutter{Conn: conn}
				return wire, err
			}
		})
		t.Cleanup(func() { _ = pipes.Close() })
		wire.hold, wire.limit = hold, 2*size+size/2
		all := []*sending{d.begin("hello")}
		synctest.Wait() // the first write is blocked; the next one has the other messages
		for range 4 {
			all = append(all, d.begin("hello"))
		}
		synctest.Wait()
		close(hold)
		count := map[string]int{}
		for _, s := range all {
			count[outcome(s.wait())]++
		}
		if count["unclear"] != 2 || count["not sent"] != 3 {
			t.Errorf("%v, want 2 unclear, 3 not sent", count)
		}
	})
}

// TestHalfOpen: a firewall has dropped the state of the connection.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{})
		d.smsc.SetFaults(smsc.MustFaults("half-open"))
		began := time.Now()
		if err := d.begin("hello").wait(); outcome(err) != "unclear" {
			t.Error(err)
		}
		for d.Status().Up() > 0 && time.Since(began) < time.Hour {
			await.Pass(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("found after %v", took)
		}
		d.smsc.SetFaults(smsc.Faults{})
		await.Pass(time.Minute)
		send(t, d, 1)
	})
}
