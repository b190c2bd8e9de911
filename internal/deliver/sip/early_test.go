package sip_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"countersign/internal/deliver/sip"
	"countersign/internal/verify"
)

// TestForkedSessions: an answer without SDP uses the SDP of the same early dialog, never
// that of another phone.
func TestForkedSessions(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		early  []string // To tags of the 183 responses with SDP, in order
		answer string   // To tag of the 200, which has no SDP
		heard  string   // tag of the phone that receives the audio; "-" if no phone does
	}{
		"of the phone that rang first": {[]string{"one", "two"}, "one", "one"},
		"of the phone that rang last":  {[]string{"one", "two"}, "two", "two"},
		"of another phone only":        {[]string{"one"}, "two", "-"},
		"of no known phone":            {[]string{""}, "two", ""},
		"of no known phone, and own":   {[]string{"two", ""}, "two", "two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := listen(t, "udp")
			tr := open(t, p.addr)
			ears := map[string]*ear{}
			if _, err := send(t, tr, func() {
				invite := p.want("INVITE")
				for _, tag := range tt.early {
					ears[tag] = p.ear()
					p.answer(invite, "183 Session Progress", tag, ears[tag].sdp())
				}
				p.answer(invite, "200 OK", tt.answer)
				p.want("ACK", ";tag="+tt.answer)
			}); err != nil {
				t.Fatal(err)
			}
			p.answer(p.want("BYE", ";tag="+tt.answer), "200 OK", "")
			state, note := verify.EventDelivered, ""
			if tt.heard == "-" {
				state, note = verify.EventUndeliverable, "no sound in common"
			}
			if r := tr.end(); r.State != state || r.Error != note {
				t.Errorf("receipt: %+v, want %s with %q", r, state, note)
			}
			for tag, e := range ears {
				if n := e.packets.Load(); (n > 0) != (tag == tt.heard) {
					t.Errorf("%d packets reached the phone with the tag %q", n, tag)
				}
			}
		})
	}
}

// TestEarlyMediaOfAnother: early media of a phone or server that did not answer has no
// effect on the audio, even if its last packets arrive after the answer.
func TestEarlyMediaOfAnother(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]string{"of another phone": "two", "of a server for the same phone": "one"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := listen(t, "udp")
			tr := open(t, p.addr)
			early, final := p.ear(), p.ear()
			if _, err := send(t, tr, func() {
				invite := p.want("INVITE")
				p.answer(invite, "183 Session Progress", "one", early.sdp())
				early.say(t, invite)
				p.answer(invite, "200 OK", answered, final.sdp())
				p.want("ACK", ";tag="+answered)
				early.say(t, invite)
			}); err != nil {
				t.Fatal(err)
			}
			p.answer(p.want("BYE", ";tag="+answered), "200 OK", "")
			if r := tr.end(); r.State != verify.EventDelivered {
				t.Errorf("receipt: %+v", r)
			}
			if early.packets.Load() > 0 || final.packets.Load() == 0 {
				t.Errorf("%d packets reached the source of early media, %d to the phone", early.packets.Load(), final.packets.Load())
			}
		})
	}
}

// TestForkedOffer: a second phone answers while a re-INVITE without SDP is pending. The
// second phone gets a BYE, and its ACK is not an answer to the offer. The ACK of the
// first phone is, in any spelling.
func TestForkedOffer(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		for _, spelling := range []string{"usual", "odd"} {
			t.Run(transport+" "+spelling, func(t *testing.T) {
				t.Parallel()
				p := listen(t, transport)
				tr := open(t, p.addr, func(c *sip.Config) { c.Transport, c.HoldTimeout = transport, patience })
				first, second := p.ear(), p.ear()
				say := p.say
				if spelling == "odd" {
					say = func(message string) { p.sayOddly(transport, message) }
				}
				if _, err := send(t, tr, func() {
					invite := p.want("INVITE")
					p.answer(invite, "200 OK", "one", first.sdp("a=inactive"))
					p.want("ACK", ";tag=one")
					say(p.request(invite, "INVITE", "one"))
					if res := p.want("SIP/2.0 200", "CSeq: 1 INVITE", ";tag=one"); !strings.Contains(res, "\r\nm=audio ") {
						t.Errorf("no offer in\n%s", res)
					}

					p.answer(invite, "200 OK", "two", second.sdp())
					p.want("ACK", ";tag=two")
					p.answer(p.want("BYE", ";tag=two"), "200 OK", "")
					say(p.request(invite, "ACK", "two", second.sdp()))
					say(p.request(invite, "INFO", "two"))
					p.want("SIP/2.0 481", "CSeq: 1 INFO", ";tag=two")

					say(p.request(invite, "ACK", "one", first.sdp()))
				}); err != nil {
					t.Fatal(err)
				}
				p.answer(p.want("BYE", ";tag=one"), "200 OK", "")
				if r := tr.end(); r.State != verify.EventDelivered || r.Error != "" {
					t.Errorf("receipt: %+v", r)
				}
				if first.packets.Load() == 0 || second.packets.Load() > 0 {
					t.Errorf("%d packets reached the first phone, %d to the second", first.packets.Load(), second.packets.Load())
				}
			})
		}
	}
}

// gate is a resolver that blocks until it is opened.
type gate struct {
	asked  chan struct{}
	opened chan struct{}
}

func (g gate) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	g.asked <- struct{}{}
	<-g.opened
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// TestSlowName: while the host name of an answer is resolved, the trunk continues to
// read messages, such as the 183 of another phone of the same call.
func TestSlowName(t *testing.T) {
	t.Parallel()
	p := listen(t, "udp")
	names := gate{make(chan struct{}, 1), make(chan struct{})}
	tr := open(t, p.addr, func(c *sip.Config) { c.Names = names })
	if _, err := send(t, tr, func() {
		defer close(names.opened)
		invite := p.want("INVITE")
		p.answer(invite, "200 OK", "one", strings.Replace(p.sound(), "c=IN IP4 127.0.0.1", "c=IN IP4 rtp.example", 1))
		p.want("ACK", ";tag=one")
		<-names.asked
		p.answer(invite, "183 Session Progress", "two", p.sound())
		p.say(p.request(invite, "OPTIONS", "one"))
		p.want("SIP/2.0 200", "CSeq: 1 OPTIONS")
	}); err != nil {
		t.Fatal(err)
	}
	p.answer(p.want("BYE", ";tag=one"), "200 OK", "")
	if r := tr.end(); r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
}
