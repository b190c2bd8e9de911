package sip_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip"
)

// end waits for the receipt of a call.
func (tr *trunk) end() deliver.Receipt {
	tr.t.Helper()
	select {
	case r := <-tr.receipts:
		return r
	case <-time.After(patience):
		tr.t.Fatal("no receipt arrived")
		return deliver.Receipt{}
	}
}

// TestFork: two phones answer one call. The first answer is accepted; the second is
// acknowledged with its own tag, at its own address, and ended with a BYE.
func TestFork(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			p := listen(t, transport)
			second := p // peer of the second phone
			if transport == "udp" {
				second = listen(t, transport)
			}
			tr := open(t, p.addr, func(c *sip.Config) { c.Transport = transport })
			if _, err := send(t, tr, func() {
				invite := p.want("INVITE")
				for _, tag := range []string{"one", "two"} {
					p.answer(invite, "183 Session Progress", tag, p.sound())
				}
				p.answer(invite, "200 OK", "one", p.sound())
				two := []string{"Contact: <sip:second@" + second.addr + ">", p.sound()}
				p.answer(invite, "200 OK", "two", two...)
				p.want("ACK", ";tag=one")
				second.want("ACK", "sip:second@", ";tag=two")
				second.answer(second.want("BYE", "sip:second@", ";tag=two"), "200 OK", "")

				// A retransmission is acknowledged again, without a second BYE.
				p.answer(invite, "200 OK", "two", two...)
				second.want("ACK", ";tag=two")
				p.answer(invite, "200 OK", "one", p.sound())
				p.want("ACK", ";tag=one")
				second.none("BYE", ";tag=two")
				p.none("BYE")

				// A BYE of the second phone does not end the call.
				p.say(p.request(invite, "BYE", "two"))
				p.want("SIP/2.0 481")
			}); err != nil {
				t.Fatal(err)
			}
			p.answer(p.want("BYE", ";tag=one"), "200 OK", "")
			if r := tr.end(); r.State != "delivered" {
				t.Errorf("receipt: %+v", r)
			}
		})
	}
}

// send sends a call while the peer plays its part.
func send(t *testing.T, tr *trunk, part func()) (deliver.Submission, error) {
	t.Helper()
	type result struct {
		sub deliver.Submission
		err error
	}
	done := make(chan result, 1)
	go func() {
		sub, err := tr.Send(t.Context(), call())
		done <- result{sub, err}
	}()
	part()
	r := <-done
	return r.sub, r.err
}

// TestForkLate: answers after the end of a call are also ended: from another phone after
// an answered call, from any phone after a cancelled or refused one.
func TestForkLate(t *testing.T) {
	t.Parallel()
	for name, final := range map[string]string{"answered": "200 OK", "cancelled": "487 Request Terminated", "refused": "486 Busy Here"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := listen(t, "udp")
			var unwanted atomic.Bool
			tr := open(t, p.addr, func(c *sip.Config) {
				c.Wanted = func(context.Context, deliver.Message) bool { return !unwanted.Load() }
			})
			var invite string
			if _, err := send(t, tr, func() {
				invite = p.want("INVITE")
				p.answer(invite, "180 Ringing", "one")
			}); err != nil {
				t.Fatal(err)
			}
			if name == "cancelled" { // a CANCEL before ringing would fail Send
				unwanted.Store(true)
				p.answer(p.want("CANCEL"), "200 OK", "one")
			}
			p.answer(invite, final, "one", p.sound())
			p.want("ACK", ";tag=one")
			if name == "answered" {
				p.answer(p.want("BYE"), "200 OK", "")
			}
			tr.end()
			for i := range 2 {
				p.answer(invite, "200 OK", "two", "Record-Route: <sip:"+p.addr+";lr;x="+strconv.Itoa(i)+">", "Contact: <sip:far@192.0.2.1>", p.sound())
				ack := p.want("ACK", ";tag=two")
				if !strings.HasPrefix(ack, "ACK sip:far@192.0.2.1 ") || !strings.Contains(header(ack, "Route"), ";lr;x=") {
					t.Errorf("ACK:\n%s", ack)
				}
			}
			p.answer(p.want("BYE", ";tag=two", "far@192.0.2.1"), "200 OK", "")
			p.none("BYE")
		})
	}
}
