package media

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/srtp/v3"

	"countersign/internal/deliver/tts/audio"
)

const (
	// frame is the duration of one packet.
	frame = 20 * time.Millisecond
	// frameSamples is the number of samples per packet.
	frameSamples = audio.Rate / 50
	// maxPacket exceeds the size of a packet of 20 ms.
	maxPacket = 1500
	// leaving is the time for which packets of the old source are ignored as late after
	// the other side moved. Afterwards they mean a gateway that sends from another port
	// than in its SDP.
	leaving = 200 * time.Millisecond
	// dropping is the time for which packets of dropped early media are ignored: a phone
	// that lost a fork sends until its CANCEL arrives.
	dropping = 2 * time.Second
	// maxLeft bounds the stored old sources.
	maxLeft = 4
)

// ErrNoPort means that all ports of the range are in use.
var ErrNoPort = errors.New("no free RTP port; widen rtp_ports or lower max_calls")

// Config configures a session.
type Config struct {
	Local               netip.Addr // address to listen on
	Advertise           netip.Addr // our address in SDP; if invalid, Local
	FirstPort, LastPort int        // range of RTP and RTCP ports
	Secure              bool       // SRTP only

	// Latch selects the sources of RTP that may move the audio. "" is LatchSignaling.
	Latch Latch

	// Mute disables sending of RTP and RTCP, like a gateway with one-way audio.
	Mute bool

	// Tap is called with the payload of each received audio packet and its codec, PCMU
	// or PCMA. It may be nil. It must not retain the slice.
	Tap func(codec uint8, payload []byte)
}

// Session is the audio of one call. Create it with Open, pass the other side's
// description to Start, and Close it. Its methods are safe for concurrent use.
type Session struct {
	cfg  Config
	rtp  *net.UDPConn
	rtcp *net.UDPConn
	ssrc uint32

	stop   context.CancelFunc
	loops  sync.WaitGroup
	digits chan byte

	mu      sync.Mutex
	started bool
	early   []early     // packets received before Start
	local   Description // our capabilities
	said    string      // our last description, marshaled
	version uint64      // version of said
	remote  Description
	target  netip.AddrPort // destination of RTP: the address in the SDP, or the other side's source
	locked  bool           // target is the other side's source
	named   bool           // target has been confirmed as a source on the host in the SDP
	left    []left         // former targets and dropped sources, oldest first
	codec   uint8          // payload type of sent audio
	seal    *srtp.Context  // encrypts sent packets; nil for plain RTP
	open    *srtp.Context  // decrypts received packets; nil for plain RTP
	out     sender
	in      receiver
	reports reports
}

// Open binds an RTP and an RTCP port. It returns ErrNoPort if no pair is free. The
// caller must Close the session.
func Open(cfg Config) (*Session, error) {
	if !cfg.Advertise.IsValid() {
		cfg.Advertise = cfg.Local
	}
	rtpConn, rtcpConn, port, err := listen(cfg)
	if err != nil {
		return nil, err
	}
	s := &Session{
		cfg: cfg, rtp: rtpConn, rtcp: rtcpConn, digits: make(chan byte, 16),
		local: Description{
			Addr: netip.AddrPortFrom(cfg.Advertise, port), Codecs: []uint8{PCMU, PCMA}, Events: DefaultEvents,
		},
		ssrc: random32(), version: 1,
	}
	s.out.sequence, s.out.timestamp = uint16(random32()), random32()
	if cfg.Secure {
		var key Key
		rand.Read(key[:]) // never fails (crypto/rand)
		s.local.Key = &key
	}
	s.loops.Go(s.receiveLoop)
	s.loops.Go(s.receiveReports)
	return s, nil
}

// listen binds a free even port and the next one, starting at a random pair.
func listen(cfg Config) (rtp, rtcp *net.UDPConn, port uint16, err error) {
	first, pairs := (cfg.FirstPort+1)&^1, (cfg.LastPort-(cfg.FirstPort+1)&^1+1)/2
	if pairs < 1 {
		return nil, nil, 0, ErrNoPort
	}
	start := int(random32() % uint32(pairs))
	for i := range pairs {
		port := uint16(first + 2*((start+i)%pairs))
		rtp, err := listenPort(cfg.Local, port)
		if err != nil {
			continue
		}
		rtcp, err := listenPort(cfg.Local, port+1)
		if err != nil {
			_ = rtp.Close() // unused
			continue
		}
		return rtp, rtcp, port, nil
	}
	return nil, nil, 0, ErrNoPort
}

func listenPort(addr netip.Addr, port uint16) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
}

func random32() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint32(b[:])
}

// Offer returns our description as an offer.
func (s *Session) Offer() Description {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.say(s.local)
}

// say sets the version of a description that is sent next: it increases if the
// description differs from the last one (RFC 3264 §8). The caller holds s.mu.
func (s *Session) say(d Description) Description {
	d.Version = s.version
	text := string(d.Marshal())
	if s.said != "" && s.said != text {
		s.version++
		d.Version = s.version
		text = string(d.Marshal())
	}
	s.said = text
	return d
}

// Answer returns our answer to an offer, with its codecs that we support. It returns an
// error wrapping [ErrDescription] if there is none, or if SRTP is required and not
// offered.
func (s *Session) Answer(offer Description) (Description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.local
	answer.Codecs, answer.Mapped = nil, nil
	for _, payloadType := range offer.Codecs {
		if codec := offer.Codec(payloadType); slices.Contains(s.local.Codecs, codec) {
			answer.add(payloadType, offer.encoding(payloadType))
		}
	}
	answer.Events = offer.Events
	if offer.Key == nil {
		answer.Key = nil
	} else if answer.Key == nil {
		var key Key
		rand.Read(key[:]) // never fails (crypto/rand)
		answer.Key = &key
	}
	switch {
	case len(answer.Codecs) == 0:
		return answer, fmt.Errorf("%w: no codec in common", ErrDescription)
	case s.cfg.Secure && offer.Key == nil:
		return answer, fmt.Errorf("%w: SRTP is required but not offered", ErrDescription)
	}
	switch offer.Direction {
	case SendOnly:
		answer.Direction = RecvOnly
	case RecvOnly:
		answer.Direction = SendOnly
	case Inactive:
		answer.Direction = Inactive
	case SendRecv:
	}
	s.local.Key, s.local.Events = answer.Key, answer.Events
	return s.say(answer), nil
}

// Start begins to send and receive according to the other side's description. Further
// calls change destination, direction, codec and the other side's key; our key remains.
// Errors wrap [ErrDescription] if no codec is shared or only one side encrypts.
func (s *Session) Start(remote Description) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(remote.Codecs, func(t uint8) bool { return slices.Contains(s.local.Codecs, remote.Codec(t)) })
	if i < 0 {
		return fmt.Errorf("%w: no codec in common", ErrDescription)
	}
	if (s.local.Key == nil) != (remote.Key == nil) {
		return fmt.Errorf("%w: only one side uses SRTP", ErrDescription)
	}
	if err := s.encrypt(remote.Key); err != nil {
		return err
	}
	moved := s.remote.Addr != remote.Addr
	s.remote, s.codec = remote, remote.Codecs[i]
	if moved {
		s.leave(remote.Addr, time.Now())
		s.target, s.locked, s.named = remote.Addr, false, false
	}
	if s.started {
		return nil
	}
	s.started = true
	s.recall()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.loops.Go(func() { s.sendLoop(ctx) })
	s.loops.Go(func() { s.reportLoop(ctx) })
	return nil
}

// encrypt sets the other side's key; nil for plain RTP. The caller holds s.mu.
func (s *Session) encrypt(key *Key) (err error) {
	if key == nil || s.remote.Key != nil && *s.remote.Key == *key {
		return nil
	}
	if s.seal == nil {
		if s.seal, err = newContext(*s.local.Key); err != nil {
			return err
		}
	}
	s.open, err = newContext(*key)
	return err
}

func newContext(k Key) (*srtp.Context, error) {
	return srtp.CreateContext(k[:16], k[16:], srtp.ProtectionProfileAes128CmHmacSha1_80)
}

// left is a source whose packets are ignored until a time, since the other side moved
// or its early media was dropped.
type left struct {
	source netip.AddrPort
	until  time.Time
}

// leave ignores the current target for the duration leaving, unless it is also the next.
func (s *Session) leave(next netip.AddrPort, now time.Time) {
	s.left = slices.DeleteFunc(s.left, func(l left) bool { return l.source == next || now.After(l.until) })
	if s.target.IsValid() && s.target != next {
		s.left = append(s.left, left{s.target, now.Add(leaving)})
	}
	s.left = s.left[max(0, len(s.left)-maxLeft):]
}

// DropEarly discards the early media received before [Session.Start]. Call it if part
// of that media may originate from other sources than the session to start, such as
// another phone of a forked call. Packets from these sources are ignored for 2 s.
func (s *Session) DropEarly(sources ...netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early = nil
	until := time.Now().Add(dropping)
	for _, source := range sources {
		s.left = append(s.left, left{source, until})
	}
}

// OnHold reports whether the other side currently receives no audio.
func (s *Session) OnHold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.onHold()
}

func (s *Session) onHold() bool {
	return s.remote.Direction == SendOnly || s.remote.Direction == Inactive
}

// Digits returns the channel of the other side's key presses. Keys are dropped while
// its buffer of 16 is full.
func (s *Session) Digits() <-chan byte { return s.digits }

// Close sends an RTCP BYE and releases the ports.
func (s *Session) Close() error {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
		s.sendBye()
	}
	err := errors.Join(s.rtp.Close(), s.rtcp.Close())
	s.loops.Wait()
	return err
}
