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
	// frame is the time that one packet covers, and frameSamples what is in it.
	frame        = 20 * time.Millisecond
	frameSamples = audio.Rate / 50
	// maxPacket is more than a packet of 20 ms ever takes.
	maxPacket = 1500
	// leaving is how long packets of the old source are late ones after the other side has
	// moved. Then the source is a gateway that names another port than it sends from.
	leaving = 200 * time.Millisecond
	// dropping is how long packets of dropped early media are ignored: a phone that lost a
	// fork sends until its CANCEL arrives.
	dropping = 2 * time.Second
	// maxLeft bounds the old sources that are remembered.
	maxLeft = 4
)

// ErrNoPort means that all ports of the range are taken.
var ErrNoPort = errors.New("no free RTP port; widen rtp_ports or lower max_calls")

// Config says where a session has its sockets, and how it trusts.
type Config struct {
	Local               netip.Addr // to listen on
	Advertise           netip.Addr // that the other side reaches us at; Local if it is not valid
	FirstPort, LastPort int        // of RTP and RTCP
	Secure              bool       // SRTP only

	// Latch selects the sources of RTP that may move the audio. "" is LatchSignaling.
	Latch Latch

	// Mute sends neither RTP nor RTCP: a gateway with one-way audio.
	Mute bool

	// Tap sees the payload of each packet of sound that came in, with its codec, PCMU
	// or PCMA; nil for nobody. It must not keep the slice.
	Tap func(codec uint8, payload []byte)
}

// Session is the sound of one call. Make one with Open, tell it what the other side
// said with Start, and Close it. Its methods may be called from many goroutines.
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
	early   []early     // packets before that
	local   Description // what we can do
	said    string      // our last description, as it was written
	version uint64      // of it
	remote  Description
	target  netip.AddrPort // of RTP: what the other side named, or where it sends from
	locked  bool           // target is where it sends from
	named   bool           // which is the host that it named
	left    []left         // sources before the other side moved, the newest last
	codec   uint8          // payload type of what is sent
	seal    *srtp.Context  // of what we send; nil for plain RTP
	open    *srtp.Context
	out     sender
	in      receiver
	reports reports
}

// Open takes two ports. The caller must Close the session.
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

// listen finds an even port that is free, with the next one.
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
			_ = rtp.Close() // it was only tried
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

// Offer is what we say when nothing was asked.
func (s *Session) Offer() Description {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.say(s.local)
}

// say counts the versions of our descriptions: one that differs from the last has
// the next (RFC 3264 §8). The caller holds s.mu.
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

// Answer is what we say to an offer: of what it has, what we have, too.
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
		return answer, fmt.Errorf("%w: not encrypted", ErrDescription)
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

// Start begins to send and receive as the other side's description says. A second
// call changes where to, whether and in which codec; our own key stays.
func (s *Session) Start(remote Description) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(remote.Codecs, func(t uint8) bool { return slices.Contains(s.local.Codecs, remote.Codec(t)) })
	if i < 0 {
		return fmt.Errorf("%w: no codec in common", ErrDescription)
	}
	if (s.local.Key == nil) != (remote.Key == nil) {
		return fmt.Errorf("%w: one side encrypts", ErrDescription)
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

// encrypt takes the other side's key; nil for plain RTP. The caller holds s.mu.
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

// left is a source of sound before the other side moved. Its packets may still arrive
// and must not take the sound back.
type left struct {
	source netip.AddrPort
	until  time.Time
}

// leave ignores the present source for a while, unless it is the next one as well.
func (s *Session) leave(next netip.AddrPort, now time.Time) {
	s.left = slices.DeleteFunc(s.left, func(l left) bool { return l.source == next || now.After(l.until) })
	if s.target.IsValid() && s.target != next {
		s.left = append(s.left, left{s.target, now.Add(leaving)})
	}
	s.left = s.left[max(0, len(s.left)-maxLeft):]
}

// DropEarly discards the early media before [Session.Start], because some of it may
// come from other sources than the session to start, such as another phone of a forked
// call. Packets from these sources are ignored for 2 s, unless the session names them.
func (s *Session) DropEarly(sources ...netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early = nil
	until := time.Now().Add(dropping)
	for _, source := range sources {
		s.left = append(s.left, left{source, until})
	}
}

// OnHold reports whether the other side wants no sound now.
func (s *Session) OnHold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.onHold()
}

func (s *Session) onHold() bool {
	return s.remote.Direction == SendOnly || s.remote.Direction == Inactive
}

// Digits are the keys that the other side presses.
func (s *Session) Digits() <-chan byte { return s.digits }

// Close says goodbye and gives the ports back.
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
