package media

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtp"

	"countersign/internal/deliver/tts/audio"
)

const (
	// maxRate is how many packets a second are looked at: four times what a call
	// has.
	maxRate = 200
	// loud is the least loudness of a frame that is taken for speech, and breath
	// the longest pause within it.
	loud   = 0.01
	breath = 600 * time.Millisecond
)

// receiver is what came in, guarded by the session's mutex.
type receiver struct {
	stats ReceiveStats

	second time.Time // the one that is counted
	count  int       // packets in it

	began    bool
	first    uint32  // extended sequence number of the first packet
	highest  uint32  // and of the highest so far
	transit  int64   // of the last packet, in samples
	jitter   float64 // in samples (RFC 3550 §6.4.1)
	source   uint32  // SSRC of the audio
	received uint32  // packets of the source

	expectedPrior, receivedPrior uint32 // at the last report

	key, earlier pressed // the last two keys

	noticed int  // packets of other sources that were looked at
	foreign bool // one of them was RTP of this call

	speech, quiet time.Duration // of the run of speech that goes on
	samples       audio.Samples // room for one packet
}

// pressed is a key that was counted.
type pressed struct {
	known     bool
	source    uint32 // SSRC
	event     byte
	timestamp uint32
	sequence  uint16 // of its newest packet
	up        bool   // the end of the key was received
}

// ReceiveStats counts the packets received since the start of the session.
type ReceiveStats struct {
	Packets int
	Octets  int           // of payload
	Lost    int           // missing packets of the last SSRC; duplicates reduce it
	Jitter  time.Duration // of the last SSRC (RFC 3550)
	Garbage int           // packets that are no RTP of this call
	Flood   int           // packets that were not looked at, being too many
	Speech  time.Duration // the longest stretch of speech
}

// receiveLoop reads until the socket is closed.
func (s *Session) receiveLoop() {
	buffer, plain := make([]byte, maxPacket), make([]byte, 0, maxPacket)
	for {
		n, from, err := s.rtp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		plain = s.receive(buffer[:n], plain, from, time.Now())
	}
}

func (s *Session) receive(packet, plain []byte, from netip.AddrPort, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if !s.started {
		if len(s.early) < maxEarly && !s.ignores(from, now) {
			s.early = append(s.early, early{bytes.Clone(packet), from})
		}
		return plain
	}
	if !s.trusts(from) || s.ignores(from, now) {
		s.in.stats.Garbage++
		return s.notice(packet, plain)
	}
	if now.Sub(s.in.second) >= time.Second {
		s.in.second, s.in.count = now, 0
	}
	if s.in.count++; s.in.count > maxRate {
		s.in.stats.Flood++
		return plain
	}
	p, plain, ok := s.admit(packet, plain, from)
	if !ok {
		s.in.stats.Garbage++
		return plain
	}
	s.count(p, now)
	if codec, sound := s.soundType(p.PayloadType); sound {
		s.hear(codec, p.Payload)
	} else if p.PayloadType != s.remote.Noise {
		s.press(p)
	}
	return plain
}

// ignores reports whether packets of a source that the audio has left are still late
// ones, see [Session.DropEarly].
func (s *Session) ignores(source netip.AddrPort, now time.Time) bool {
	return slices.ContainsFunc(s.left, func(l left) bool { return l.source == source && now.Before(l.until) })
}

// notice looks whether a packet of another source is RTP of this call: a gateway may
// send from another host than its SDP names. That is a sign of life and no more: the
// packet is not heard, and the sound stays where it is. Only the first packets are
// looked at.
func (s *Session) notice(packet, plain []byte) (room []byte) {
	if s.in.foreign || s.in.noticed == maxNoticed {
		return plain
	}
	s.in.noticed++
	_, room, s.in.foreign = s.decode(packet, plain)
	return room
}

// maxNoticed bounds the packets of other sources that are looked at: 2 s of sound.
const maxNoticed = 100

// admit reads a packet of a trusted source. If it is RTP of this call, sound goes to
// that source from now on: symmetric RTP, for a peer behind a NAT. plain is room for
// what is decrypted.
func (s *Session) admit(packet, plain []byte, from netip.AddrPort) (p *rtp.Packet, room []byte, ok bool) {
	if p, room, ok = s.decode(packet, plain); ok && (from != s.target || !s.locked) {
		s.target, s.locked, s.named = from, true, from.Addr() == s.remote.Addr.Addr()
	}
	return p, room, ok
}

// decode decrypts and parses a packet. ok is false for one that is no RTP of this call.
func (s *Session) decode(packet, plain []byte) (_ *rtp.Packet, room []byte, ok bool) {
	if s.open != nil {
		var err error
		if packet, err = s.open.DecryptRTP(plain[:0], packet, nil); err != nil {
			return nil, plain, false
		}
		plain = packet
	}
	var p rtp.Packet
	if p.Unmarshal(packet) != nil || p.Version != 2 || !s.expects(p.PayloadType) {
		return nil, plain, false
	}
	return &p, plain, true
}

// early is a packet that came before the session started. It may name the source of
// the sound, but it is no sign that an answered call is heard: it does not count.
type early struct {
	packet []byte
	from   netip.AddrPort
}

// maxEarly bounds the early packets that are kept, the first of them.
const maxEarly = 8

// recall takes the source of the first early packet that is RTP of this call.
func (s *Session) recall() {
	for _, e := range s.early {
		if !s.trusts(e.from) {
			continue
		}
		if _, _, ok := s.admit(e.packet, nil, e.from); ok {
			break
		}
	}
	s.early = nil
}

// expects reports whether a payload type was negotiated. Keys should come under the
// number that we gave them (RFC 3264 §5.1); some phones use their own.
func (s *Session) expects(payloadType uint8) bool {
	if _, sound := s.soundType(payloadType); sound {
		return true
	}
	return payloadType != 0 &&
		(payloadType == s.local.Events || payloadType == s.remote.Events || payloadType == s.remote.Noise)
}

// soundType returns the codec, PCMU or PCMA, of a negotiated payload type. The other
// side may send each codec that its description lists, in any packet, under its
// number there or the static one of our offer.
func (s *Session) soundType(payloadType uint8) (codec uint8, ok bool) {
	if payloadType == s.codec {
		return s.remote.Codec(payloadType), true
	}
	for _, t := range s.remote.Codecs {
		if codec := s.remote.Codec(t); t == payloadType || codec == payloadType {
			return codec, slices.Contains(s.local.Codecs, codec)
		}
	}
	return 0, false
}

// count keeps the statistics of RFC 3550 §6.4.1 and Appendix A. Loss and jitter are
// those of the audio: keys may come under an SSRC of their own.
func (s *Session) count(p *rtp.Packet, now time.Time) {
	in := &s.in
	in.stats.Packets++
	in.stats.Octets += len(p.Payload)
	_, sound := s.soundType(p.PayloadType)
	switch known := in.began && p.SSRC == in.source; {
	case known:
		if step := int16(p.SequenceNumber - uint16(in.highest)); step > 0 {
			in.highest += uint32(step)
		}
	case !sound:
		return
	default:
		in.began, in.source, in.received = true, p.SSRC, 0
		in.first = 1<<16 + uint32(p.SequenceNumber)
		in.highest = in.first
		in.expectedPrior, in.receivedPrior = 0, 0
		in.transit, in.jitter = 0, 0
	}
	in.received++
	if !sound {
		return // a key's packets share one timestamp
	}
	transit := now.UnixMicro()*audio.Rate/1_000_000 - int64(p.Timestamp)
	if in.transit != 0 {
		change := math.Abs(float64(transit - in.transit))
		if change < audio.Rate { // or else the other side began anew
			in.jitter += (change - in.jitter) / 16
		}
	}
	in.transit = transit
}

// hear looks whether somebody speaks.
func (s *Session) hear(codec uint8, payload []byte) {
	if s.cfg.Tap != nil {
		s.cfg.Tap(codec, payload)
	}
	in := &s.in
	in.samples = law(codec).AppendDecode(in.samples[:0], payload)
	samples := in.samples
	if samples.RMS() >= loud {
		in.speech += in.quiet + samples.Duration()
		in.quiet = 0
	} else if in.quiet += samples.Duration(); in.quiet > breath {
		in.speech, in.quiet = 0, 0
	}
	if in.speech == 0 {
		in.quiet = 0
	}
	in.stats.Speech = max(in.stats.Speech, in.speech)
}

// press takes a key at its first packet; lost and repeated packets change nothing.
// All packets of a key have one SSRC and one timestamp (RFC 4733 §2.5.1.2). Some gateways reuse it
// for the next key: another event, or a packet after the end of the same one, is a
// key of its own.
func (s *Session) press(p *rtp.Packet) {
	if len(p.Payload) < 4 || int(p.Payload[0]) >= len(events) {
		s.in.stats.Garbage++
		return
	}
	k := pressed{true, p.SSRC, p.Payload[0], p.Timestamp, p.SequenceNumber, p.Payload[1]&0x80 != 0}
	last := &s.in.key
	newer := int16(k.sequence-last.sequence) > 0
	switch {
	case k.same(*last) && (!newer || k.up || !last.up):
		if newer {
			last.sequence = k.sequence
		}
		last.up = last.up || k.up
		return
	case k.same(s.in.earlier) && (!newer || k.source != last.source): // late
		return
	}
	s.in.key, s.in.earlier = k, s.in.key
	s.Pressed(events[k.event : k.event+1])
}

func (k pressed) same(other pressed) bool {
	return other.known && k.source == other.source && k.event == other.event && k.timestamp == other.timestamp
}

// Stats is all that is known of a session's sound.
type Stats struct {
	Sent     SendStats
	Received ReceiveStats
	Remote   RemoteStats
	Reports  int  // RTCP packets received, whether or not they report on our sound
	Foreign  bool // RTP of this call came from a source that is not trusted
}

// Alive reports whether RTP or RTCP of this call was received, from whatever source.
func (s Stats) Alive() bool { return s.Received.Packets > 0 || s.Reports > 0 || s.Foreign }

// Stats gives the figures so far.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Sent: s.out.stats, Received: s.in.stats, Remote: s.reports.remote, Reports: s.reports.received, Foreign: s.in.foreign}
	if s.in.began {
		stats.Received.Lost = int(s.in.highest-s.in.first) + 1 - int(s.in.received)
		stats.Received.Jitter = time.Duration(s.in.jitter * float64(time.Second) / audio.Rate)
	}
	return stats
}

// MOS estimates how the call sounded to the other side, from 1 (bad) to 4.4 (as
// good as a telephone gets), by what it has reported: the E-model (ITU-T G.107)
// reduced to delay and loss, with the usual approximation that jitter costs twice
// its delay and a percent of loss 2.5 points. 0 if it has not reported.
func (s Stats) MOS() float64 {
	if s.Remote.Reports == 0 {
		return 0
	}
	delay := (s.Remote.RoundTrip/2+2*s.Remote.Jitter).Seconds()*1000 + 10
	r := 93.2 - delay/40
	if delay > 160 {
		r = 93.2 - (delay-120)/10
	}
	r = max(r-2.5*100*s.Remote.Lost, 0)
	return min(max(1+0.035*r+7e-6*r*(r-60)*(100-r), 1), 4.5)
}

// Pressed takes a key that was pressed elsewhere than in RTP.
func (s *Session) Pressed(digit string) {
	if len(digit) != 1 || !strings.Contains(events, strings.ToUpper(digit)) {
		return
	}
	select {
	case s.digits <- strings.ToUpper(digit)[0]:
	default: // nobody listens
	}
}
