package softphone

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/pion/rtp"

	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
)

// Step is something that a phone does in a call. What goes wrong is in [Call.Err],
// and ends the script; that the call has ended is not wrong.
type Step func(stage) error

// stage is what a step has to do with.
type stage struct {
	*call
	ctx        context.Context //nolint:containedctx // of the rest of the call
	background *sync.WaitGroup
}

// Wait waits.
func Wait(d time.Duration) Step {
	return func(s stage) error {
		sleep(s.ctx, d)
		return nil
	}
}

// Hear waits until so much sound was heard since the answer, silence too.
func Hear(d time.Duration) Step {
	return func(s stage) error {
		for {
			sound, more := s.heard(0)
			if sound.Duration() >= d {
				return nil
			}
			select {
			case <-more:
			case <-s.ctx.Done():
				return nil
			}
		}
	}
}

// Press presses keys (RFC 4733), without waiting until they have left.
func Press(keys string) Step {
	return func(s stage) error {
		if s.phone.cfg.KeysTogether {
			return s.current().PressTogether(keys)
		}
		return s.current().Press(keys)
	}
}

// InfoRelay presses a key by INFO, as application/dtmf-relay.
func InfoRelay(key string) Step {
	return info("application/dtmf-relay", "Signal="+key+"\r\nDuration=160\r\n")
}

// InfoDTMF presses a key by INFO, as application/dtmf.
func InfoDTMF(key string) Step { return info("application/dtmf", key) }

func info(kind, body string) Step {
	return func(s stage) error {
		_, err := s.request(sip.INFO, []byte(body), sip.NewHeader("Content-Type", kind))
		return err
	}
}

// Say says samples, and waits until they are said.
func Say(samples audio.Samples) Step {
	return func(s stage) error {
		s.current().Play(s.ctx, samples)
		return nil
	}
}

// Echo says what is heard, from now on and a little later.
func Echo() Step {
	return func(s stage) error {
		past, _ := s.heard(0)
		from := len(past)
		s.background.Go(func() {
			for s.ctx.Err() == nil {
				fresh, more := s.heard(from)
				if len(fresh) > 0 {
					from += len(fresh)
					s.current().Play(s.ctx, fresh)
					continue
				}
				select {
				case <-more:
				case <-s.ctx.Done():
				}
			}
		})
		return nil
	}
}

// HangUp ends the call with a BYE.
func HangUp() Step {
	return func(s stage) error {
		s.end(HungUp)
		s.hangUp()
		s.leave()
		return nil
	}
}

// Drop makes the phone disappear: it sends nothing any more, and ignores what it is
// sent, in other calls, too.
func Drop() Step {
	return func(s stage) error {
		s.phone.gone.Store(true)
		// The goodbye of RTCP goes to the phone itself.
		s.mu.Lock()
		nowhere, session := s.offer, s.media
		nowhere.Addr, nowhere.Direction = s.said.Addr, media.Inactive
		s.mu.Unlock()
		err := session.Start(nowhere)
		s.end(Dropped)
		s.leave()
		return err
	}
}

// Hold puts the other side on hold: it is to be silent until [Resume].
func Hold() Step {
	return func(s stage) error { return s.reInvite(s.current(), media.SendOnly, media.RecvOnly) }
}

// Resume ends a [Hold].
func Resume() Step {
	return func(s stage) error { return s.reInvite(s.current(), media.SendRecv, media.SendRecv) }
}

// Move takes the sound at another port from now on.
func Move() Step {
	return func(s stage) error {
		s.mu.Lock()
		secure := s.offer.Key != nil
		s.mu.Unlock()
		session, err := s.session(secure)
		if err != nil {
			return err
		}
		if err := s.reInvite(session, media.SendRecv, media.SendRecv); err != nil {
			return errors.Join(err, session.Close())
		}
		s.mu.Lock()
		said := s.said
		s.mu.Unlock()
		return s.replace(session, said)
	}
}

// Update renews the session timer by an UPDATE, and wants it granted.
func Update(seconds int) Step {
	return func(s stage) error {
		timer := fmt.Sprintf("%d;refresher=uac", seconds)
		res, err := s.request(sip.UPDATE, nil, sip.NewHeader("Session-Expires", timer), sip.NewHeader("Supported", "timer"))
		if err != nil {
			return err
		}
		if h := res.GetHeader("Session-Expires"); h == nil || h.Value() != timer {
			return fmt.Errorf("UPDATE: asked for %q, got %v", timer, h)
		}
		return nil
	}
}

// Flood sends RTP of the call's codec, as much as it can, from another port.
func Flood(packets int) Step {
	return func(s stage) error {
		_, codec := s.peer()
		return s.spill(packets, func(i int) ([]byte, error) {
			return (&rtp.Packet{
				Header:  rtp.Header{Version: 2, PayloadType: codec, SSRC: 1, SequenceNumber: uint16(i), Timestamp: uint32(i * 160)},
				Payload: slices.Repeat([]byte{0xFF}, 160),
			}).Marshal()
		})
	}
}

// Garbage sends packets that are no RTP of the call, of every size up to what an
// Ethernet carries, from another port: every other one is of a version that does
// not exist, the rest of a payload type that was not agreed.
func Garbage(packets int) Step {
	return func(s stage) error {
		return s.spill(packets, func(i int) ([]byte, error) {
			noise := make([]byte, 2+i*37%1471)
			rand.Read(noise) // never fails (crypto/rand)
			if noise[0] &= 0x3F; i%2 == 0 {
				noise[0], noise[1] = noise[0]|0x80, 77
			}
			return noise, nil
		})
	}
}

// spill sends packets to where the other side wants its sound.
func (s stage) spill(packets int, packet func(i int) ([]byte, error)) error {
	addr, _ := s.peer()
	conn, err := net.DialUDP("udp", nil, addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	for i := range packets {
		b, err := packet(i)
		if err != nil {
			return err
		}
		if s.ctx.Err() != nil {
			return nil
		}
		_, _ = conn.Write(b) // what does not fit is lost on other ways, too
	}
	return nil
}

func (s stage) peer() (addr *net.UDPAddr, codec uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return net.UDPAddrFromAddrPort(s.offer.Addr), s.offer.Codecs[0]
}

// requestTimeout bounds the wait for the answer to a request within a call.
const requestTimeout = 5 * time.Second

// request makes a request within the call, which must be granted.
func (s stage) request(method sip.RequestMethod, body []byte, headers ...sip.Header) (*sip.Response, error) {
	res, err := s.ask(method, body, headers...)
	if err == nil && !res.IsSuccess() {
		err = fmt.Errorf("%s: the answer is %d %s", method, res.StatusCode, res.Reason)
	}
	return res, err
}

// ask makes a request within the call.
func (s stage) ask(method sip.RequestMethod, body []byte, headers ...sip.Header) (*sip.Response, error) {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	req := sip.NewRequest(method, *s.dialog.InviteRequest.Contact().Address.Clone())
	for _, h := range headers {
		req.AppendHeader(h)
	}
	req.SetBody(body)
	res, err := s.dialog.Do(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return res, nil
}

// reInvite offers the sound of a session, which may be a new one, and wants an
// answer of the other direction.
func (s stage) reInvite(session *media.Session, direction, want media.Direction) error {
	offer := session.Offer()
	s.mu.Lock()
	// One that differs has the next version (RFC 3264 §8).
	offer.Direction, offer.Version = direction, s.said.Version+1
	offer.Codecs = s.phone.cfg.Codecs
	s.said = offer
	s.mu.Unlock()
	res, err := s.request(sip.INVITE, offer.Marshal(), sip.NewHeader("Content-Type", "application/sdp"))
	if err != nil {
		return err
	}
	ack := sip.NewRequest(sip.ACK, *s.dialog.InviteRequest.Contact().Address.Clone())
	if err := s.dialog.WriteRequest(ack); err != nil {
		return fmt.Errorf("ACK: %w", err)
	}
	got, err := s.negotiate(res.Body())
	if err != nil {
		return fmt.Errorf("re-INVITE: %w", err)
	}
	if got.Direction != want {
		return fmt.Errorf("re-INVITE: %s is answered with %s, want %s", direction, got.Direction, want)
	}
	s.mu.Lock()
	s.offer = got
	s.mu.Unlock()
	return s.start(session, got)
}
