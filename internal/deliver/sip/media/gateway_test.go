package media_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"countersign/internal/await"
	"countersign/internal/deliver/sip/media"
)

// gateway is a peer that writes its RTP packets itself.
type gateway struct {
	t    *testing.T
	conn *net.UDPConn
}

// against opens a session with a gateway behind a NAT: the address in its SDP is silent,
// and its RTP originates from its signaling address.
func against(t *testing.T, tap func(uint8, []byte), audio ...string) (*media.Session, *gateway) {
	t.Helper()
	cfg := config()
	cfg.Tap = tap
	s := open(t, cfg)
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(s.Offer().Addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	remote, err := media.Parse(lines(append([]string{"v=0", "c=IN IP4 127.0.0.9"}, audio...)...))
	if err != nil {
		t.Fatal(err)
	}
	remote.Source = loopback
	if err := s.Start(remote); err != nil {
		t.Fatal(err)
	}
	return s, &gateway{t, conn}
}

func (g *gateway) send(h rtp.Header, payload ...byte) {
	g.t.Helper()
	h.Version = 2
	if h.SSRC == 0 {
		h.SSRC = 1
	}
	b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.conn.Write(b); err != nil {
		g.t.Fatal(err)
	}
}

// hears waits for a packet of the session and returns its payload type.
func (g *gateway) hears(wait time.Duration) (payloadType uint8, ok bool) {
	g.t.Helper()
	b := make([]byte, 1500)
	if err := g.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		g.t.Fatal(err)
	}
	n, err := g.conn.Read(b)
	var p rtp.Packet
	if err != nil || p.Unmarshal(b[:n]) != nil {
		return 0, false
	}
	return p.PayloadType, true
}

// TestPayloadTypes: each payload type of the answer is accepted at any time, and the first
// such packet selects the destination of the audio.
func TestPayloadTypes(t *testing.T) {
	t.Parallel()
	const events = "a=rtpmap:101 telephone-event/8000"
	for name, tt := range map[string]struct {
		answer []string
		sent   uint8 // payload type sent by the gateway
		codec  int   // codec passed to Tap; -1 for none
		ours   uint8 // payload type that the gateway receives
		valid  bool
	}{
		"the first":                {[]string{"m=audio 9 RTP/AVP 0 8 101", events}, 0, 0, 0, true},
		"another":                  {[]string{"m=audio 9 RTP/AVP 0 8 101", events}, 8, 8, 0, true},
		"in the other order":       {[]string{"m=audio 9 RTP/AVP 8 0 101", events}, 0, 0, 8, true},
		"a key":                    {[]string{"m=audio 9 RTP/AVP 0 8 101", events}, 101, -1, 0, true},
		"a key of their number":    {[]string{"m=audio 9 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"}, 96, -1, 0, true},
		"a key of our number":      {[]string{"m=audio 9 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"}, 101, -1, 0, true},
		"comfort noise":            {[]string{"m=audio 9 RTP/AVP 0 13"}, 13, -1, 0, true},
		"a dynamic number":         {[]string{"m=audio 9 RTP/AVP 97 0", "a=rtpmap:97 PCMA/8000"}, 97, 8, 97, true},
		"its static number":        {[]string{"m=audio 9 RTP/AVP 97", "a=rtpmap:97 PCMA/8000/1"}, 8, 8, 97, true},
		"a codec not answered":     {[]string{"m=audio 9 RTP/AVP 0 101", events}, 8, -1, 0, false},
		"a codec of nobody":        {[]string{"m=audio 9 RTP/AVP 0 18"}, 18, -1, 0, false},
		"noise that is not there":  {[]string{"m=audio 9 RTP/AVP 0"}, 13, -1, 0, false},
		"a number without meaning": {[]string{"m=audio 9 RTP/AVP 0 97"}, 97, -1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := make(chan uint8, 10)
			s, g := against(t, func(codec uint8, _ []byte) { heard <- codec }, tt.answer...)
			payload := []byte{1, 10, 0, 160}
			if tt.codec >= 0 {
				payload = bytes.Repeat([]byte{0x55}, 160)
			}
			g.send(rtp.Header{PayloadType: tt.sent, SequenceNumber: 1, Timestamp: 160}, payload...)
			await.Until(t, "a packet", func() bool { r := s.Stats().Received; return r.Packets+r.Garbage == 1 })
			if r := s.Stats().Received; (r.Garbage == 0) != tt.valid {
				t.Errorf("received %+v, valid: %t", r, tt.valid)
			}
			if tt.codec >= 0 {
				if got := <-heard; int(got) != tt.codec {
					t.Errorf("received codec %d, want %d", got, tt.codec)
				}
			}
			wait := patience
			if !tt.valid {
				wait = 100 * time.Millisecond
			}
			if got, ok := g.hears(wait); ok != tt.valid || got != tt.ours {
				t.Errorf("the gateway received payload type %d (%t), want %d (%t)", got, ok, tt.ours, tt.valid)
			}
		})
	}
}

// TestGatewayKeys: a key counts once, with repeated, lost or reordered packets, and a
// second key counts although it has the timestamp of the first.
func TestGatewayKeys(t *testing.T) {
	t.Parallel()
	type packet struct {
		seq   uint16
		ts    uint32
		key   byte
		up    bool
		first bool
	}
	for name, tt := range map[string]struct {
		packets []packet
		want    string
	}{
		"one, repeated":                 {[]packet{{1, 9, 1, false, true}, {2, 9, 1, false, false}, {2, 9, 1, false, false}, {3, 9, 1, true, false}, {4, 9, 1, true, false}, {5, 9, 1, true, false}}, "1"},
		"two under one timestamp":       {[]packet{{1, 9, 1, false, true}, {2, 9, 1, true, false}, {3, 9, 2, false, true}, {4, 9, 2, true, false}}, "12"},
		"the same under one timestamp":  {[]packet{{1, 9, 1, false, true}, {2, 9, 1, true, false}, {3, 9, 1, true, false}, {4, 9, 1, false, true}, {5, 9, 1, true, false}}, "11"},
		"three under one timestamp":     {[]packet{{1, 9, 1, false, true}, {2, 9, 1, true, false}, {3, 9, 2, false, true}, {4, 9, 2, true, false}, {5, 9, 1, false, true}}, "121"},
		"without the end of the first":  {[]packet{{1, 9, 1, false, true}, {2, 9, 2, false, true}, {3, 9, 2, true, false}}, "12"},
		"the first comes late":          {[]packet{{1, 9, 1, false, true}, {3, 9, 2, false, true}, {2, 9, 1, true, false}, {4, 9, 2, true, false}}, "12"},
		"an end before its key":         {[]packet{{2, 9, 1, true, false}, {1, 9, 1, false, true}, {3, 9, 1, true, false}}, "1"},
		"an older timestamp comes late": {[]packet{{1, 9, 1, false, true}, {4, 99, 1, false, true}, {2, 9, 1, true, false}, {5, 99, 1, true, false}}, "11"},
		"over the end of the numbers":   {[]packet{{65535, 9, 1, true, false}, {0, 9, 1, true, false}, {1, 9, 1, false, true}}, "11"},
		"the end is all that comes":     {[]packet{{3, 9, 1, true, false}, {9, 99, 1, true, false}}, "11"},
		"the end has the mark, too":     {[]packet{{1, 9, 1, false, true}, {2, 9, 1, true, true}, {3, 9, 1, true, true}}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, g := against(t, nil, "m=audio 9 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
			for _, p := range append(tt.packets, packet{20, 999, 11, false, true}) {
				volume := byte(10)
				if p.up {
					volume |= 0x80
				}
				g.send(rtp.Header{PayloadType: 101, SequenceNumber: p.seq, Timestamp: p.ts, Marker: p.first}, p.key, volume, 0, 160)
			}
			var got strings.Builder
			for !strings.HasSuffix(got.String(), "#") {
				select {
				case key := <-s.Digits():
					got.WriteByte(key)
				case <-time.After(patience):
					t.Fatalf("only %q received", got.String())
				}
			}
			if got.String() != tt.want+"#" {
				t.Errorf("got %q, want %q", got.String(), tt.want+"#")
			}
		})
	}
}

// TestKeysOfOtherSource: keys with another SSRC than the audio count once and have no
// effect on the loss of the audio (RFC 3550 §5.1).
func TestKeysOfOtherSource(t *testing.T) {
	t.Parallel()
	s, g := against(t, nil, "m=audio 9 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
	sound := bytes.Repeat([]byte{0xFF}, 160)
	press := func(seq uint16, ssrc, timestamp uint32, key, volume byte) {
		g.send(rtp.Header{PayloadType: 101, SSRC: ssrc, SequenceNumber: seq, Timestamp: timestamp}, key, volume, 0, 160)
	}
	for i := range uint16(8) {
		g.send(rtp.Header{SSRC: 1, SequenceNumber: 100 + i, Timestamp: 160 * uint32(i)}, sound...)
		press(40000+i, 2, 9, 1, 10)
	}
	press(7, 3, 9, 1, 10) // same event and timestamp from a third source: another key press
	press(8, 3, 99, 11, 10)
	var got strings.Builder
	for !strings.HasSuffix(got.String(), "#") {
		select {
		case key := <-s.Digits():
			got.WriteByte(key)
		case <-time.After(patience):
			t.Fatalf("only %q received", got.String())
		}
	}
	if got.String() != "11#" {
		t.Errorf("got %q, want %q", got.String(), "11#")
	}
	if r := s.Stats().Received; r.Packets != 18 || r.Lost != 0 {
		t.Errorf("received %+v, want 18 packets and no loss", r)
	}
}

// TestOtherSource: loss is counted for the current source only, with any initial sequence
// number, and keys are distinguished by source.
func TestOtherSource(t *testing.T) {
	t.Parallel()
	s, g := against(t, nil, "m=audio 9 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
	packets := 0
	send := func(ssrc uint32, seqs ...uint16) {
		t.Helper()
		for _, seq := range seqs {
			g.send(rtp.Header{SSRC: ssrc, SequenceNumber: seq, Timestamp: uint32(seq) * 160}, bytes.Repeat([]byte{0xFF}, 160)...)
			packets++
		}
		await.Until(t, "all packets", func() bool { return s.Stats().Received.Packets == packets })
	}
	send(1, 10, 11, 15)
	if lost := s.Stats().Received.Lost; lost != 3 {
		t.Errorf("lost %d, want 3", lost)
	}
	send(2, 60000, 60001, 60002, 60003)
	if lost := s.Stats().Received.Lost; lost != 0 {
		t.Errorf("lost %d of the second source, want 0", lost)
	}
	send(3, 65534, 1)
	if lost := s.Stats().Received.Lost; lost != 2 {
		t.Errorf("lost %d of the third source, want 2", lost)
	}
	for ssrc := range uint32(2) { // one key of each source, with the same timestamp
		g.send(rtp.Header{PayloadType: 101, SSRC: 10 + ssrc, SequenceNumber: 7, Timestamp: 9, Marker: true}, 1, 10, 0, 160)
	}
	for range 2 {
		select {
		case <-s.Digits():
		case <-time.After(patience):
			t.Fatal("a key of the second source is missing")
		}
	}
}

// TestEarly: a packet received before the start of the session does not prove it alive.
func TestEarly(t *testing.T) {
	t.Parallel()
	s := open(t, config())
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Offer().Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	phone := &gateway{t, conn}
	for i := range uint16(4) {
		phone.send(rtp.Header{SequenceNumber: i, Timestamp: 160 * uint32(i)}, bytes.Repeat([]byte{1}, 160)...)
	}
	await.Until(t, "all early packets", func() bool { return s.Early() == 4 })
	silent := media.Description{Addr: netip.AddrPortFrom(loopback, 9), Codecs: []uint8{0}}
	if err := s.Start(silent); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the session sends", func() bool { return s.Stats().Sent.Packets > 3 })
	if got := s.Stats(); got.Alive() {
		t.Errorf("alive after %+v", got.Received)
	}
}

// TestPublicAddress: an SDP with a public address is trusted. RTP of a negotiated type
// from another host is not played and does not redirect the audio.
func TestPublicAddress(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Latch, cfg.Mute = media.LatchAny, true // must not send to that address
	cfg.Tap = func(uint8, []byte) { t.Error("audio of an untrusted source was accepted") }
	s := open(t, cfg)
	if err := s.Start(media.Description{Addr: addr("203.0.113.9:4000"), Codecs: []uint8{0, 8}, Events: 101}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Offer().Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stranger := &gateway{t, conn}
	for i, payloadType := range []uint8{0, 8, 101} {
		stranger.send(rtp.Header{PayloadType: payloadType, SequenceNumber: uint16(i)}, bytes.Repeat([]byte{1}, 160)...)
	}
	await.Until(t, "three packets of a stranger", func() bool { return s.Stats().Received.Garbage == 3 })
	if st := s.Stats(); !st.Foreign || st.Received.Packets != 0 || len(s.Digits()) != 0 {
		t.Errorf("statistics %+v, %d keys; want Foreign without packets and keys", st, len(s.Digits()))
	}
}

// TestMoved: a late packet from the old port does not redirect the audio there.
func TestMoved(t *testing.T) {
	t.Parallel()
	s, old := against(t, nil, "m=audio 9 RTP/AVP 0")
	old.send(rtp.Header{SequenceNumber: 1}, bytes.Repeat([]byte{0xFF}, 160)...)
	if _, ok := old.hears(patience); !ok {
		t.Fatal("no packet at the old port")
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := s.Start(media.Description{Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Codecs: []uint8{0}}); err != nil {
		t.Fatal(err)
	}
	old.send(rtp.Header{SequenceNumber: 2}, bytes.Repeat([]byte{0xFF}, 160)...)
	await.Until(t, "the late packet is seen", func() bool { return s.Stats().Received.Garbage == 1 })
	for range 3 {
		if _, ok := (&gateway{t, conn}).hears(patience); !ok {
			t.Fatal("no packet at the new port")
		}
	}
}

// TestMute: a muted session receives but does not send.
func TestMute(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Mute = true
	a, b := call(t, config(), cfg, asIs)
	await.Until(t, "packets", func() bool { return b.Stats().Received.Packets > 5 })
	if err := b.Close(); err != nil { // would send an RTCP BYE
		t.Fatal(err)
	}
	if s := a.Stats(); s.Alive() || !b.Stats().Alive() {
		t.Errorf("the muted session sent packets: %+v", s)
	}
}

// names is a resolver for tests.
type names map[string]string

func (n names) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if addr, ok := n[network+" "+host]; ok {
		return []netip.Addr{netip.MustParseAddr(addr)}, ctx.Err()
	}
	return nil, errors.Join(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true}, ctx.Err())
}

// TestResolve: a host name is resolved in its address family, and the c= line of the
// stream has precedence over the session's.
func TestResolve(t *testing.T) {
	t.Parallel()
	known := names{"ip4 rtp.example": "192.0.2.9", "ip6 rtp.example": "2001:db8::9", "ip4 private.example": "10.0.0.1", "ip4 hold.example": "0.0.0.0"}
	const m = "m=audio 4000 RTP/AVP 0"
	for name, tt := range map[string]struct {
		sdp  []byte
		want string // address, or the unresolved host
	}{
		"of the session":           {lines("v=0", "c=IN IP4 rtp.example", m), "192.0.2.9:4000"},
		"of the stream":            {lines("v=0", "c=IN IP4 other.example", m, "c=IN IP4 rtp.example"), "192.0.2.9:4000"},
		"of the session, unused":   {lines("v=0", "c=IN IP4 other.example", m, "c=IN IP4 192.0.2.1"), "192.0.2.1:4000"},
		"after an address":         {lines("v=0", "c=IN IP4 192.0.2.1", m, "c=IN IP4 rtp.example"), "192.0.2.9:4000"},
		"of another stream":        {lines("v=0", "c=IN IP4 rtp.example", "m=video 1 RTP/AVP 31", "c=IN IP4 other.example", m), "192.0.2.9:4000"},
		"IPv6":                     {lines("v=0", "c=IN IP6 rtp.example", m), "[2001:db8::9]:4000"},
		"IPv6 address":             {lines("v=0", "c=IN IP6 2001:db8::1", m), "[2001:db8::1]:4000"},
		"not found":                {lines("v=0", "c=IN IP4 nowhere.example", m), "nowhere.example"},
		"of another family":        {lines("v=0", "c=IN IP6 private.example", m), "private.example"},
		"hold":                     {lines("v=0", "c=IN IP4 hold.example", m), "0.0.0.0:4000"},
		"not asked for no audio":   {lines("v=0", "c=IN IP4 nowhere.example", "m=audio 0 RTP/AVP 0"), ""},
		"not asked for other code": {lines("v=0", "c=IN IP4 nowhere.example", "m=audio 4000 RTP/AVP 18"), ""},
		"no name":                  {lines("v=0", "c=IN IP4 -rtp.example", m), ""},
		"a broken address":         {lines("v=0", "c=IN IP4 192.0.2.300", m), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := media.Resolve(t.Context(), tt.sdp, known)
			var unresolved *media.UnresolvedError
			switch {
			case errors.As(err, &unresolved):
				if unresolved.Host != tt.want || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
			case err != nil:
				if tt.want != "" || !errors.Is(err, media.ErrDescription) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
			case d.Addr.String() != tt.want || d.Codecs[0] != 0:
				t.Errorf("got %+v, want %s", d, tt.want)
			}
			if name == "hold" && d.Direction != media.Inactive {
				t.Errorf("direction %s", d.Direction)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := media.Resolve(ended, lines("v=0", "c=IN IP4 rtp.example", m), known); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
}

// TestMarshalAnswer: an answer has the streams of its offer.
func TestMarshalAnswer(t *testing.T) {
	t.Parallel()
	offer := lines("v=0", "c=IN IP4 192.0.2.1", "m=video 5000 RTP/AVP 31 32", "m=audio 4000 RTP/AVP 97 0",
		"a=rtpmap:97 PCMA/8000", "m=image 6000 udptl t38")
	parsed, err := media.Parse(offer)
	if err != nil {
		t.Fatal(err)
	}
	if want := (media.Description{
		Addr: addr("192.0.2.1:4000"), Codecs: []uint8{97, 0}, Mapped: map[uint8]uint8{97: 8}, Direction: media.SendRecv,
	}); !reflect.DeepEqual(parsed, want) {
		t.Errorf("offer: %+v, want %+v", parsed, want)
	}
	answer, err := open(t, config()).Answer(parsed)
	if err != nil {
		t.Fatal(err)
	}
	var streams []string
	for line := range strings.Lines(string(answer.MarshalAnswer(offer))) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "m=") || strings.HasPrefix(line, "a=rtpmap") {
			streams = append(streams, strings.ReplaceAll(line, " "+answer.Addr.String()[len("127.0.0.1:"):]+" ", " PORT "))
		}
	}
	if want := []string{
		"m=video 0 RTP/AVP 31", "m=audio PORT RTP/AVP 97 0", "a=rtpmap:97 PCMA/8000", "a=rtpmap:0 PCMU/8000", "m=image 0 udptl t38",
	}; !reflect.DeepEqual(streams, want) {
		t.Errorf("got %q, want %q", streams, want)
	}
}

// Packets of dropped early media that arrive before the session starts do not redirect
// the audio either.
func TestDropEarly(t *testing.T) {
	t.Parallel()
	s := open(t, config())
	loser, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Offer().Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer loser.Close()
	answerer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer answerer.Close()
	s.DropEarly(loser.LocalAddr().(*net.UDPAddr).AddrPort())
	early := &gateway{t, loser}
	for i := range uint16(3) {
		early.send(rtp.Header{SequenceNumber: i}, bytes.Repeat([]byte{1}, 160)...)
	}
	if _, err := answerer.WriteToUDPAddrPort([]byte("no RTP"), s.Offer().Addr); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the packet after the packets of the loser", func() bool { return s.Early() == 1 })
	if err := s.Start(media.Description{Addr: answerer.LocalAddr().(*net.UDPAddr).AddrPort(), Codecs: []uint8{0}}); err != nil {
		t.Fatal(err)
	}
	if err := answerer.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := answerer.Read(make([]byte, 1500)); err != nil {
		t.Errorf("the audio does not reach the phone that answered: %v", err)
	}
}
