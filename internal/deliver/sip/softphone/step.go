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

// Step is an action of the phone in a call. An error is stored in [Call.Err] and ends
// the script. The end of the call is not an error.
type Step func(stage) error

// stage is the context of a step.
type stage struct {
	*call
	ctx        context.Context //nolint:containedctx // ends with the call
	background *sync.WaitGroup
}

// Wait waits for d, or until the call ends.
func Wait(d time.Duration) Step {
	return func(s stage) error {
		sleep(s.ctx, d)
		return nil
	}
}

// Hear waits until the recorded audio, including silence, reaches d.
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

// Press queues key presses (RFC 4733) and does not wait until they are sent.
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

// Say plays samples and waits for the end.
func Say(samples audio.Samples) Step {
	return func(s stage) error {
		s.current().Play(s.ctx, samples)
		return nil
	}
}

// Echo plays the audio received from now on back to the other side.
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

// Drop makes the phone disappear: it stops sending and ignores all messages, in all
// calls.
func Drop() Step {
	return func(s stage) error {
		s.phone.gone.Store(true)
		// Direct the RTCP BYE to the phone itself.
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

// Hold puts the other side on hold until [Resume].
func Hold() Step {
	return func(s stage) error { return s.reInvite(s.current(), media.SendOnly, media.RecvOnly) }
}

// Resume ends a [Hold].
func Resume() Step {
	return func(s stage) error { return s.reInvite(s.current(), media.SendRecv, media.SendRecv) }
}

// Move moves the audio to another port of the phone by re-INVITE.
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

// Update refreshes the session timer by UPDATE and expects the same timer in the
// response.
func Update(seconds int) Step {
	return func(s stage) error {
		timer := fmt.Sprintf("%d;refresher=uac", seconds)
		res, err := s.request(sip.UPDATE, nil, sip.NewHeader("Session-Expires", timer), sip.NewHeader("Supported", "timer"))
		if err != nil {
			return err
		}
		if h := res.GetHeader("Session-Expires"); h == nil || h.Value() != timer {
			return fmt.Errorf("UPDATE: Session-Expires %v, want %q", h, timer)
		}
		return nil
	}
}

// Flood sends RTP of the call's codec from another port, as fast as possible.
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

// Garbage sends packets from another port that are not RTP of the call, of various
// sizes up to the Ethernet MTU. They alternate between an unnegotiated payload type and
// an invalid version.
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

// spill sends packets to the other side's RTP address, from a new port.
func (s stage) spill(packets int, packet func(i int) ([]byte, error)) error {
	addr, _ := s.peer()
	conn, err := net.DialUDP("udp", nil, addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // best effort
	for i := range packets {
		b, err := packet(i)
		if err != nil {
			return err
		}
		if s.ctx.Err() != nil {
			return nil
		}
		_, _ = conn.Write(b) // packets may be lost
	}
	return nil
}

func (s stage) peer() (addr *net.UDPAddr, codec uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return net.UDPAddrFromAddrPort(s.offer.Addr), s.offer.Codecs[0]
}

// requestTimeout bounds the wait for the response to a request within a call.
const requestTimeout = 5 * time.Second

// request sends a request within the call and returns an error unless it succeeds.
func (s stage) request(method sip.RequestMethod, body []byte, headers ...sip.Header) (*sip.Response, error) {
	res, err := s.ask(method, body, headers...)
	if err == nil && !res.IsSuccess() {
		err = fmt.Errorf("%s: response %d %s", method, res.StatusCode, res.Reason)
	}
	return res, err
}

// ask sends a request within the call and returns its final response.
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

// reInvite offers a session, which may be a new one, and expects an answer with the
// direction want.
func (s stage) reInvite(session *media.Session, direction, want media.Direction) error {
	offer := session.Offer()
	s.mu.Lock()
	// A changed description has the next version (RFC 3264 §8).
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
		return fmt.Errorf("re-INVITE: %s was answered with %s, want %s", direction, got.Direction, want)
	}
	s.mu.Lock()
	s.offer = got
	s.mu.Unlock()
	return s.start(session, got)
}
