package media_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtp"

	"countersign/internal/await"
	"countersign/internal/deliver/sip/media"
)

// source is a host that exchanges RTP and RTCP with a session.
type source struct {
	gateway

	rtcp *net.UDPConn
	seq  uint16
}

// from opens a source at a host.
func from(t *testing.T, s *media.Session, host string) *source {
	t.Helper()
	for range 100 {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, net.UDPAddrFromAddrPort(s.Offer().Addr))
		if err != nil {
			t.Skipf("this machine has no %s: %v", host, err)
		}
		rtcp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host), Port: conn.LocalAddr().(*net.UDPAddr).Port + 1})
		if err != nil { // the next port is in use
			_ = conn.Close()
			continue
		}
		t.Cleanup(func() { _, _ = conn.Close(), rtcp.Close() })
		return &source{gateway: gateway{t, conn}, rtcp: rtcp}
	}
	t.Fatal("no two consecutive free ports")
	return nil
}

// speak sends an audio packet with an SSRC, and key 1 with another.
func (s *source) speak(ssrc uint32) {
	s.t.Helper()
	s.seq++
	s.send(rtp.Header{SSRC: ssrc, SequenceNumber: s.seq}, bytes.Repeat([]byte{0xFF}, 160)...)
	s.send(rtp.Header{SSRC: ssrc + 1, PayloadType: 101, SequenceNumber: s.seq, Timestamp: uint32(s.seq)}, 1, 0x8A, 0, 160)
}

// silent fails the test if a packet of the session was received.
func (s *source) silent() {
	s.t.Helper()
	if _, ok := s.hears(50 * time.Millisecond); ok {
		s.t.Error("an untrusted source received the audio")
	}
}

// TestLatchHolds: the rule applies after a change of the SSRC, after a hold, after a
// re-INVITE that moves the audio, and to keys and RTCP.
func TestLatchHolds(t *testing.T) {
	t.Parallel()
	s := open(t, config())
	phone, stranger := from(t, s, "127.0.0.1"), from(t, s, "127.0.0.2")
	sdp := media.Description{Addr: addr("127.0.0.9:9"), Codecs: []uint8{0}, Events: 101, Source: loopback}
	start := func(change func(*media.Description)) {
		t.Helper()
		change(&sdp)
		if err := s.Start(sdp); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	attack := func(when string, ssrc uint32) {
		t.Helper()
		for range 5 {
			stranger.speak(ssrc)
		}
		seen += 10
		await.Until(t, when+": packets of the stranger are garbage", func() bool { return s.Stats().Received.Garbage == seen })
		if len(s.Digits()) > 0 {
			t.Errorf("%s: a key of an untrusted source was accepted", when)
		}
		stranger.silent()
	}
	heard := func(when string, by *source) {
		t.Helper()
		by.speak(7)
		if _, ok := by.hears(patience); !ok {
			t.Fatalf("%s: the phone received no packet", when)
		}
		select {
		case <-s.Digits():
		case <-time.After(patience):
			t.Fatalf("%s: a key of the phone was not accepted", when)
		}
	}
	start(func(*media.Description) {})
	attack("before the phone", 66)
	heard("first", phone)
	attack("with another SSRC", 77)
	attack("with the SSRC of the phone", 7)
	start(func(d *media.Description) { d.Direction = media.SendOnly })
	attack("on hold", 66)
	start(func(d *media.Description) { d.Direction = media.SendRecv })
	heard("after the hold", phone)
	start(func(d *media.Description) { d.Addr = addr("127.0.0.8:9") })
	attack("after a re-INVITE that moves the audio", 66)
	moved := from(t, s, "127.0.0.1") // late packets of the old port are ignored
	moved.seq = 100
	heard("after it", moved)
	start(func(d *media.Description) { d.Addr, d.Source = addr("127.0.0.7:9"), netip.Addr{} })
	attack("with an unknown source of signaling", 66)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stranger.rtcp.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := stranger.rtcp.Read(make([]byte, 1500)); err == nil {
		t.Errorf("an untrusted source received %d octets of RTCP", n)
	}
}

// TestLatchRTCP: RTCP follows the audio.
func TestLatchRTCP(t *testing.T) {
	t.Parallel()
	s := open(t, config())
	phone := from(t, s, "127.0.0.1")
	if err := s.Start(media.Description{Addr: addr("127.0.0.9:9"), Codecs: []uint8{0}, Events: 101, Source: loopback}); err != nil {
		t.Fatal(err)
	}
	phone.speak(7)
	if _, ok := phone.hears(patience); !ok {
		t.Fatal("the phone received no packet")
	}
	if err := s.Close(); err != nil { // sends a BYE
		t.Fatal(err)
	}
	if err := phone.rtcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := phone.rtcp.Read(make([]byte, 1500)); err != nil {
		t.Errorf("no RTCP: %v", err)
	}
}

// TestLatchSRTP: with SRTP the source must be permitted and the packet authentic.
func TestLatchSRTP(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Secure = true
	for name, tt := range map[string]struct {
		latch    media.Latch
		source   string // source address of the signaling
		forged   bool   // the first packets have the permitted address but no key
		received bool
	}{
		"signaling":                {"", "127.0.0.1", false, true},
		"signaling, and a forgery": {"", "127.0.0.1", true, true},
		"another signaling source": {"", "127.0.0.2", false, false},
		"any":                      {media.LatchAny, "127.0.0.2", false, true},
		"any, and a forgery":       {media.LatchAny, "127.0.0.2", true, true},
		"off":                      {media.LatchOff, "127.0.0.1", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := cfg
			ours.Latch = tt.latch
			var e ear
			theirs := cfg
			theirs.Tap = e.hear
			a, b := open(t, ours), open(t, theirs)
			answer, err := b.Answer(a.Offer())
			if err != nil {
				t.Fatal(err)
			}
			answer.Addr, answer.Source = addr("127.0.0.9:9"), netip.MustParseAddr(tt.source)
			if err := a.Start(answer); err != nil {
				t.Fatal(err)
			}
			if tt.forged {
				forger := from(t, a, "127.0.0.1")
				forger.speak(66)
				await.Until(t, "the forgery is garbage", func() bool { return a.Stats().Received.Garbage == 2 })
				forger.silent()
			}
			if err := b.Start(a.Offer()); err != nil {
				t.Fatal(err)
			}
			await.Until(t, "the peer sends", func() bool { return b.Stats().Sent.Packets > 3 })
			if !tt.received {
				await.Until(t, "its packets are garbage", func() bool { return a.Stats().Received.Garbage > 3 })
				if n := b.Stats().Received.Packets; n > 0 {
					t.Errorf("the peer received %d packets", n)
				}
				return
			}
			await.Until(t, "the peer receives the audio", func() bool { return b.Stats().Received.Packets > 3 })
		})
	}
}
