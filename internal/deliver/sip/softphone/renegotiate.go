package softphone

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// MoveByAck sends a re-INVITE without SDP and answers the offer of the 200 in the ACK.
// The answer moves the audio to another port and lists the given codecs in their order.
func MoveByAck(codecs ...uint8) Step {
	return func(s stage) error {
		res, offer, err := s.askOffer()
		if err != nil {
			return err
		}
		session, err := s.session(offer.Key != nil)
		if err != nil {
			return err
		}
		if len(codecs) > 0 {
			offer.Codecs = codecs
		}
		said, err := session.Answer(offer)
		if err == nil {
			err = s.answerByAck(session, offer, said.MarshalAnswer(res.Body()))
		}
		if err != nil {
			return errors.Join(err, session.Close())
		}
		return s.replace(session, said)
	}
}

// AnswerByAck sends a re-INVITE without SDP and answers the offer of the 200 in the ACK.
// change edits the answer; an empty result means an ACK without SDP.
func AnswerByAck(change func(answer []byte) []byte) Step {
	return func(s stage) error {
		res, offer, err := s.askOffer()
		if err != nil {
			return err
		}
		session := s.current()
		said, err := session.Answer(offer)
		if err != nil {
			return err
		}
		return s.answerByAck(session, offer, change(said.MarshalAnswer(res.Body())))
	}
}

// NoAnswer is a change of [AnswerByAck] that leaves the ACK without SDP.
func NoAnswer([]byte) []byte { return nil }

// RefuseAudio is a change of [AnswerByAck] that refuses the audio stream.
func RefuseAudio(answer []byte) []byte { return withPort(answer, "0") }

// OnHold is a change of [AnswerByAck] that puts the call on hold.
func OnHold(answer []byte) []byte { return inDirection(answer, media.Inactive) }

// withPort changes the port of the audio stream.
func withPort(sdp []byte, port string) []byte {
	return editLine(sdp, "m=audio ", func(value []byte) []byte {
		_, rest, _ := bytes.Cut(value, []byte(" "))
		return append([]byte(port+" "), rest...)
	})
}

// inDirection changes the direction of the audio stream.
func inDirection(sdp []byte, direction media.Direction) []byte {
	return bytes.ReplaceAll(sdp, []byte("a="+string(media.SendRecv)), []byte("a="+string(direction)))
}

// atHost changes the host of the c= line, IPv4 or a name.
func atHost(sdp []byte, host string) []byte {
	return editLine(sdp, "c=", func([]byte) []byte { return []byte("IN IP4 " + host) })
}

// editLine replaces the rest of each line that begins with prefix.
func editLine(sdp []byte, prefix string, change func([]byte) []byte) []byte {
	var out []byte
	for line := range bytes.Lines(sdp) {
		if value, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte(prefix)); ok {
			line = append(append([]byte(prefix), change(value)...), "\r\n"...)
		}
		out = append(out, line...)
	}
	return out
}

// Reoffer sends a re-INVITE with the phone's SDP, edited by change, and expects a
// status. With 200 the answer must have as many streams.
func Reoffer(change func(offer []byte) []byte, status int) Step {
	return func(s stage) error {
		offer := change(s.body())
		res, err := s.ask(sip.INVITE, offer, sip.NewHeader("Content-Type", "application/sdp"))
		if err != nil {
			return err
		}
		if res.StatusCode != status {
			return fmt.Errorf("re-INVITE: status %d, want %d", res.StatusCode, status)
		}
		if !res.IsSuccess() {
			return nil
		}
		if err := s.dialog.WriteRequest(sip.NewRequest(sip.ACK, *s.dialog.InviteRequest.Contact().Address.Clone())); err != nil {
			return fmt.Errorf("ACK: %w", err)
		}
		streams := []byte("m=")
		if got, want := bytes.Count(res.Body(), streams), bytes.Count(offer, streams); got != want {
			return fmt.Errorf("re-INVITE: answer has %d streams, want %d", got, want)
		}
		return nil
	}
}

// NoAudio is a change of [Reoffer] that offers no audio.
func NoAudio(offer []byte) []byte { return withPort(offer, "0") }

// WithVideo is a change of [Reoffer] that offers video before the audio.
func WithVideo(offer []byte) []byte {
	return bytes.Replace(offer, []byte("m=audio"), []byte("m=video 5000 RTP/AVP 31\r\nm=audio"), 1)
}

// Cross sends a re-INVITE without SDP, and before its ACK a re-INVITE with an offer. It
// expects 491 for the second.
func Cross() Step {
	return func(s stage) error {
		if _, err := s.request(sip.INVITE, nil); err != nil {
			return err
		}
		return Reoffer(func(offer []byte) []byte { return offer }, 491)(s)
	}
}

// ChangeSource switches to another SSRC with new sequence numbers.
func ChangeSource() Step {
	return func(s stage) error {
		s.current().ChangeSource()
		return nil
	}
}

// askOffer sends a re-INVITE without SDP and returns the 200 and its offer.
func (s stage) askOffer() (*sip.Response, media.Description, error) {
	res, err := s.request(sip.INVITE, nil)
	if err != nil {
		return nil, media.Description{}, err
	}
	offer, err := s.negotiate(res.Body())
	if err != nil {
		return nil, offer, fmt.Errorf("offer of the 200 to a re-INVITE: %w", err)
	}
	return res, offer, nil
}

// answerByAck starts the session with the offer and sends the ACK, with sdp unless it is
// empty.
func (s stage) answerByAck(session *media.Session, offer media.Description, sdp []byte) error {
	ack := sip.NewRequest(sip.ACK, *s.dialog.InviteRequest.Contact().Address.Clone())
	if len(sdp) > 0 {
		ack.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		ack.SetBody(sdp)
	}
	if err := s.start(session, offer); err != nil {
		return err
	}
	s.mu.Lock()
	s.offer = offer
	s.mu.Unlock()
	if err := s.dialog.WriteRequest(ack); err != nil {
		return fmt.Errorf("ACK: %w", err)
	}
	return nil
}

// replace makes session the session of the call and closes the old one.
func (s stage) replace(session *media.Session, said media.Description) error {
	s.mu.Lock()
	old := s.media
	s.media, s.said = session, said
	s.mu.Unlock()
	s.background.Go(func() { s.listen(s.ctx, session) })
	return old.Close()
}
