package sip_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/verify"
)

// thief floods the RTP port of an INVITE from a host until the test ends, and counts the
// packets received.
type thief struct{ sent, received atomic.Int64 }

func steal(t *testing.T, host string, to *net.UDPAddr) *thief {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		t.Skipf("this machine has no %s: %v", host, err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	s := &thief{}
	go func() {
		b := make([]byte, 1500)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
			s.received.Add(1)
		}
	}()
	send := func(seq byte) {
		sound := append([]byte{0x80, 0, 0, seq, 0, 0, 0, 160, 0, 0, 0, 66}, bytes.Repeat([]byte{0xFF}, 160)...)
		key := []byte{0x80, 101, 0, seq, 0, 0, 0, seq, 0, 0, 0, 67, 1, 0x8A, 0, 160}
		_, _ = conn.WriteTo(sound, to) // the kernel may drop it
		_, _ = conn.WriteTo(key, to)
		s.sent.Add(1)
	}
	for seq := range byte(20) {
		send(seq) // before the answer
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for seq := byte(20); ; seq++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				send(seq)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; _ = conn.Close() })
	return s
}

func mediaPort(t *testing.T, invite string) *net.UDPAddr {
	t.Helper()
	_, rest, _ := strings.Cut(invite, "\r\nm=audio ")
	port, _, _ := strings.Cut(rest, " ")
	to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestLatch: an attacker that sends RTP first, and most, receives no packet of the code.
// A phone behind a NAT, which sends from its signaling address, does. The SDP names a
// silent host or the phone itself.
func TestLatch(t *testing.T) {
	t.Parallel()
	const signaling, other = "127.0.0.1", "127.0.0.2"
	for name, tt := range map[string]struct {
		transport     string
		latch         media.Latch
		sdp           string // host in the SDP; "" for the phone itself, with its port
		thief         string
		phone, stolen bool // receives the audio
	}{
		"private address":             {"udp", "", "192.168.7.7", other, true, false},
		"private address, TCP":        {"tcp", "", "192.168.7.7", other, true, false},
		"private address, TLS":        {"tls", "", "192.168.7.7", other, true, false},
		"loopback address":            {"udp", "", "127.0.0.9", other, true, false},
		"address of a provider":       {"udp", "", "100.64.7.7", other, true, false},
		"public address":              {"udp", "", "203.0.113.7", other, true, false},
		"no NAT":                      {"udp", "", "", other, true, false},
		"no NAT, thief at its host":   {"tcp", "", "", signaling, true, false},
		"signaling, by name":          {"udp", media.LatchSignaling, "192.168.7.7", other, true, false},
		"any: private address":        {"udp", media.LatchAny, "192.168.7.7", other, false, true},
		"any: port at the phone":      {"udp", media.LatchAny, "", signaling, false, true},
		"off: private address":        {"udp", media.LatchOff, "192.168.7.7", other, false, false},
		"off: thief at the signaling": {"udp", media.LatchOff, "192.168.7.7", signaling, false, false},
		"off: no NAT":                 {"udp", media.LatchOff, "", signaling, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert, pool := certificate(t)
			p := listen(t, tt.transport, cert)
			tr := open(t, p.addr, short, func(c *sip.Config) {
				c.Transport, c.Latch = tt.transport, tt.latch
				c.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
			})
			phone := p.ear()
			sdp := phone.sdp("a=rtpmap:101 telephone-event/8000")
			sdp = strings.Replace(sdp, "RTP/AVP 0", "RTP/AVP 0 101", 1)
			if tt.sdp != "" {
				sdp = strings.Replace(sdp, "c=IN IP4 127.0.0.1", "c=IN IP4 "+tt.sdp, 1)
			}
			var stranger *thief
			if _, err := send(t, tr, func() {
				invite := p.want("INVITE")
				stranger = steal(t, tt.thief, mediaPort(t, invite))
				p.answer(invite, "200 OK", "one", sdp)
				p.want("ACK")
				before := stranger.sent.Load()
				await.Until(t, "five packets of the stranger, which sends first", func() bool { return stranger.sent.Load() >= before+5 })
				phone.say(t, invite)
			}); err != nil {
				t.Fatal(err)
			}
			p.answer(p.want("BYE"), "200 OK", "")
			tr.end()
			// The phone may receive a few packets before the attacker's first packet.
			if got := phone.packets.Load(); (got > 10) != tt.phone {
				t.Errorf("the phone received %d packets; want the audio: %t", got, tt.phone)
			}
			if got := stranger.received.Load(); (got > 0) != tt.stolen {
				t.Errorf("the attacker received %d packets; want the audio: %t", got, tt.stolen)
			}
		})
	}
}

// TestStranger: a softphone receives the whole announcement although two attackers, one
// on its host, send RTP from before the call to its end.
func TestStranger(t *testing.T) {
	t.Parallel()
	p := start(t, softphone.Config{})
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4870} // outside all other ranges
	tr := open(t, p.Addr(), func(c *sip.Config) { c.FirstPort, c.LastPort = to.Port, to.Port+1 })
	strangers := []*thief{steal(t, "127.0.0.1", to), steal(t, "127.0.0.2", to)}
	if r := tr.outcome(); r.State != verify.EventDelivered {
		t.Errorf("receipt: %+v", r)
	}
	if c := p.ended(softphone.Bye); !whole(t, c) || beginnings(t, c) != 1 {
		t.Errorf("the phone received %s with %d starts of the announcement", c.Sound().Duration(), beginnings(t, c))
	}
	for i, s := range strangers {
		if n := s.received.Load(); n > 0 {
			t.Errorf("attacker %d received %d packets", i, n)
		}
	}
}
