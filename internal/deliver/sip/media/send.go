package media

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pion/rtp"

	"countersign/internal/deliver/tts/audio"
)

// sender is the state of sending, guarded by the session's mutex.
type sender struct {
	sequence  uint16
	timestamp uint32 // RTP timestamp of the last frame
	play      *play  // current playback; nil for silence
	keys      []key  // queue of keys to press
	pressed   uint32 // timestamp of the last key
	stats     SendStats

	payload [frameSamples]byte // buffers for one packet
	packet  [packetRoom]byte
	sealed  [packetRoom]byte
}

// packetRoom exceeds the size of our packets: header, 20 ms of audio, SRTP tag.
const packetRoom = 256

// play is a playback.
type play struct {
	left  audio.Samples // samples not sent yet
	first bool          // no samples were sent yet
	done  chan struct{} // closed at the end
}

// key is a key press to send (RFC 4733 §2.5).
type key struct {
	event     byte
	frames    int // frames sent so far
	timestamp uint32
	begun     bool
	joined    bool // use the timestamp of the previous key
}

// SendStats counts the packets sent since the start of the session.
type SendStats struct {
	Packets  int
	Octets   int           // payload octets
	Late     int           // packets sent more than 10 ms late
	Lateness time.Duration // maximum delay
	Failed   int           // packets that could not be sent
}

// Play sends samples and replaces the current playback. It returns when the last sample
// was sent, another playback replaced this one, or ctx ended; said is the duration of
// the sent part. Playback pauses while the call is on hold.
func (s *Session) Play(ctx context.Context, samples audio.Samples) (said time.Duration) {
	p := &play{left: samples, first: true, done: make(chan struct{})}
	s.mu.Lock()
	s.finish()
	s.out.play = p
	s.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.play == p {
		s.finish()
	}
	return (samples[:len(samples)-len(p.left)]).Duration()
}

// finish ends the current playback. The caller holds s.mu.
func (s *Session) finish() {
	if s.out.play != nil {
		close(s.out.play.done)
		s.out.play = nil
	}
}

// events lists the keys by event code (RFC 4733 §3.2).
const events = "0123456789*#ABCD"

// Press queues keys to be sent one after the other, each for 100 ms, and returns. It
// returns an error if the other side does not support telephone-event, or for an
// invalid key; the keys before it remain queued.
func (s *Session) Press(keys string) error { return s.press4733(keys, false) }

// PressTogether is Press with the same timestamp for all keys, as some gateways do.
func (s *Session) PressTogether(keys string) error { return s.press4733(keys, true) }

// ChangeSource switches to a random SSRC and sequence number. With SRTP this is a new
// stream for the other side.
func (s *Session) ChangeSource() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ssrc, s.out.sequence = random32(), uint16(random32())
}

func (s *Session) press4733(keys string, together bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.remote.Events == 0 {
		return errors.New("the other side does not support telephone-event")
	}
	for n, c := range strings.ToUpper(keys) {
		i := strings.IndexRune(events, c)
		if i < 0 {
			return fmt.Errorf("%q is not a key; use 0-9, *, #, A-D", c)
		}
		s.out.keys = append(s.out.keys, key{event: byte(i), joined: together && n > 0})
	}
	return nil
}

// sendLoop sends a packet every 20 ms at absolute times, so a delay does not accumulate.
func (s *Session) sendLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.finish()
			s.mu.Unlock()
			return
		case <-timer.C:
		}
		s.sendFrame(time.Since(next))
		next = next.Add(frame)
		if behind := time.Since(next); behind > 10*frame { // the machine slept: skip, to avoid a burst
			skipped := behind.Truncate(frame)
			next = next.Add(skipped)
			s.mu.Lock()
			s.out.timestamp += uint32(skipped/frame) * frameSamples
			s.mu.Unlock()
		}
		timer.Reset(time.Until(next))
	}
}

// sendFrame sends the packet that is due now. late is its delay.
func (s *Session) sendFrame(late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.timestamp += frameSamples
	if s.onHold() || s.cfg.Mute || !s.target.IsValid() {
		return
	}
	if late > s.out.stats.Lateness {
		s.out.stats.Lateness = late
	}
	if late > 10*time.Millisecond {
		s.out.stats.Late++
	}
	if len(s.out.keys) > 0 {
		s.sendKey()
		return
	}
	first := false
	var said audio.Samples
	if p := s.out.play; p != nil {
		said = p.left[:min(frameSamples, len(p.left))]
		p.left, first, p.first = p.left[len(said):], p.first, false
		if len(p.left) == 0 {
			s.finish()
		}
	}
	s.sendSound(first, said)
}

// sendSound sends a packet of samples, padded with silence.
func (s *Session) sendSound(marker bool, samples audio.Samples) {
	codec := law(s.remote.Codec(s.codec))
	payload := codec.AppendEncode(s.out.payload[:0], samples)
	for len(payload) < frameSamples {
		payload = append(payload, codec.Silence())
	}
	s.send(rtp.Header{PayloadType: s.codec, Timestamp: s.out.timestamp, Marker: marker}, payload)
}

// law returns the companding law of a codec.
func law(codec uint8) audio.Law {
	if codec == PCMA {
		return audio.ALaw
	}
	return audio.MuLaw
}

const (
	keyFrames = 5 // 100 ms
	keyEnds   = 3 // packets with the end bit, in case of loss
	keyPause  = 5 // frames between two keys
	keyVolume = 10
)

// sendKey sends the next packet of a key press. All its packets have the timestamp of
// its start.
func (s *Session) sendKey() {
	k := &s.out.keys[0]
	marker := !k.begun
	if marker {
		k.begun = true
		if k.timestamp = s.out.timestamp; k.joined {
			k.timestamp = s.out.pressed
		}
		s.out.pressed = k.timestamp
	}
	k.frames++
	frames := min(k.frames, keyFrames)
	duration := uint16(frames * frameSamples)
	volume := byte(keyVolume)
	if k.frames > keyFrames {
		volume |= 0x80 // end bit
	}
	if pause := k.frames > keyFrames+keyEnds; pause {
		s.sendSound(false, nil)
	} else {
		s.send(rtp.Header{PayloadType: s.remote.Events, Timestamp: k.timestamp, Marker: marker},
			[]byte{k.event, volume, byte(duration >> 8), byte(duration)})
	}
	if k.frames == keyFrames+keyEnds+keyPause {
		s.out.keys = s.out.keys[1:]
	}
}

// send writes one packet. The caller holds s.mu.
func (s *Session) send(header rtp.Header, payload []byte) {
	header.Version, header.SSRC, header.SequenceNumber = 2, s.ssrc, s.out.sequence
	s.out.sequence++
	n, err := header.MarshalTo(s.out.packet[:])
	packet := append(s.out.packet[:n], payload...)
	if err == nil && s.seal != nil {
		packet, err = s.seal.EncryptRTP(s.out.sealed[:0], packet, &header)
	}
	if err == nil {
		_, err = s.rtp.WriteToUDPAddrPort(packet, s.target)
	}
	if err != nil {
		s.out.stats.Failed++
		return
	}
	s.out.stats.Packets++
	s.out.stats.Octets += len(payload)
}
