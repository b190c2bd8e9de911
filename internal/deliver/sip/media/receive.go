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
	// maxRate bounds the packets per second that are processed: four times the rate of
	// a call.
	maxRate = 200
	// loud is the minimum RMS of a frame of speech.
	loud = 0.01
	// breath is the maximum pause within speech.
	breath = 600 * time.Millisecond
)

// receiver is the state of received packets, guarded by the session's mutex.
type receiver struct {
	stats ReceiveStats

	second time.Time // start of the current second
	count  int       // packets in the current second

	began    bool
	first    uint32  // extended sequence number of the first packet
	highest  uint32  // highest extended sequence number
	transit  int64   // transit time of the last packet, in samples
	jitter   float64 // in samples (RFC 3550 §6.4.1)
	source   uint32  // SSRC of the audio
	received uint32  // packets from source

	expectedPrior, receivedPrior uint32 // values at the last report

	key, earlier pressed // the last two keys

	noticed int  // packets of untrusted sources that were decoded
	foreign bool // a packet of an untrusted source was RTP of this call

	speech, quiet time.Duration // current stretch of speech, and the pause at its end
	samples       audio.Samples // buffer for one packet
}

// pressed is a key press that was reported.
type pressed struct {
	known     bool
	source    uint32 // SSRC
	event     byte
	timestamp uint32
	sequence  uint16 // sequence number of its newest packet
	up        bool   // a packet with the end bit was received
}

// ReceiveStats counts the packets received since the start of the session.
type ReceiveStats struct {
	Packets int
	Octets  int           // payload octets
	Lost    int           // missing packets of the last SSRC; duplicates reduce it
	Jitter  time.Duration // jitter of the last SSRC (RFC 3550)
	Garbage int           // rejected packets: from an untrusted source, or not RTP of this call
	Flood   int           // packets dropped above the maximum rate
	Speech  time.Duration // longest stretch of speech
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

// ignores reports whether packets from a source are ignored because the audio left it
// recently; see [Session.leave] and [Session.DropEarly].
func (s *Session) ignores(source netip.AddrPort, now time.Time) bool {
	return slices.ContainsFunc(s.left, func(l left) bool { return l.source == source && now.Before(l.until) })
}

// notice checks whether a packet from an untrusted source is RTP of this call: a
// gateway may send from another host than in its SDP. Such a packet only proves that
// the call is alive. It is not processed and does not move the audio. Only the first
// maxNoticed packets are checked.
func (s *Session) notice(packet, plain []byte) (room []byte) {
	if s.in.foreign || s.in.noticed == maxNoticed {
		return plain
	}
	s.in.noticed++
	_, room, s.in.foreign = s.decode(packet, plain)
	return room
}

// maxNoticed bounds the checked packets of untrusted sources: 2 s of audio.
const maxNoticed = 100

// admit decodes a packet of a trusted source. If it is RTP of this call, the audio is
// sent to that source from then on (symmetric RTP, for a peer behind a NAT). plain is
// the buffer for the decrypted packet.
func (s *Session) admit(packet, plain []byte, from netip.AddrPort) (p *rtp.Packet, room []byte, ok bool) {
	if p, room, ok = s.decode(packet, plain); ok && (from != s.target || !s.locked) {
		s.target, s.locked, s.named = from, true, from.Addr() == s.remote.Addr.Addr()
	}
	return p, room, ok
}

// decode decrypts and parses a packet. ok is false if it is not RTP of this call.
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

// early is a packet received before the start of the session. It may determine the
// destination of the audio. It does not prove that the answered call is heard, so it is
// not counted.
type early struct {
	packet []byte
	from   netip.AddrPort
}

// maxEarly bounds the stored early packets; later ones are dropped.
const maxEarly = 8

// recall sends the audio to the source of the first early packet that is trusted and
// RTP of this call.
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

// expects reports whether a payload type was negotiated. Keys should have the payload
// type in our description (RFC 3264 §5.1); some phones use theirs.
func (s *Session) expects(payloadType uint8) bool {
	if _, sound := s.soundType(payloadType); sound {
		return true
	}
	return payloadType != 0 &&
		(payloadType == s.local.Events || payloadType == s.remote.Events || payloadType == s.remote.Noise)
}

// soundType returns the codec, PCMU or PCMA, of a negotiated payload type. The other
// side may send any codec in its description, in any packet, under its payload type
// there or the static one in our offer.
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

// count updates the statistics of RFC 3550 §6.4.1 and Appendix A. Loss and jitter
// concern the audio only: keys may have another SSRC.
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
		if change < audio.Rate { // a larger change is a new timestamp base
			in.jitter += (change - in.jitter) / 16
		}
	}
	in.transit = transit
}

// hear passes audio to the tap and updates the speech statistics.
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

// press reports a key at its first packet; lost and repeated packets have no effect.
// All packets of a key press have the same SSRC and timestamp (RFC 4733 §2.5.1.2). Some
// gateways reuse the timestamp for the next key. Therefore another event, or a newer
// packet after the end of the same event, is a new key press.
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

// Stats are the statistics of a session.
type Stats struct {
	Sent     SendStats
	Received ReceiveStats
	Remote   RemoteStats
	Reports  int  // compound RTCP packets received, with or without a report on our packets
	Foreign  bool // RTP of this call was received from an untrusted source
}

// Alive reports whether RTP or RTCP of this call was received from any source.
func (s Stats) Alive() bool { return s.Received.Packets > 0 || s.Reports > 0 || s.Foreign }

// Stats returns the current statistics.
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

// MOS estimates the quality of the call for the other side from its RTCP reports: 1
// (bad) to 4.4 (the best that G.711 allows), or 0 without a report. It is the E-model
// (ITU-T G.107) reduced to delay and loss. By the usual approximation, jitter counts
// twice as delay, and each percent of loss costs 2.5 points.
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

// Pressed reports a key press to [Session.Digits], from RTP or from the signalling. It
// ignores invalid keys and drops keys while the channel is full.
func (s *Session) Pressed(digit string) {
	if len(digit) != 1 || !strings.Contains(events, strings.ToUpper(digit)) {
		return
	}
	select {
	case s.digits <- strings.ToUpper(digit)[0]:
	default: // not read
	}
}
