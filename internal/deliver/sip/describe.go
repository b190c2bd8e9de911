package sip

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// descriptions is the SDP state of a call: at most one pending offer, and the session
// of the last answer.
type descriptions struct {
	changed  chan struct{} // receives a value after each new session; sends never block
	unusable signal        // an answer to our offer allows no audio

	early earlySessions

	mu       sync.Mutex    // also held during name resolution, to keep the order of sessions
	answered bool          // the INVITE was answered and the answer acknowledged
	offering chan struct{} // closed by the answer to our pending offer; nil without one; not used for the INVITE
}

func newDescriptions() descriptions {
	return descriptions{changed: make(chan struct{}, 1), unusable: newSignal()}
}

// earlySessions holds the SDP of the early dialogs of a call, by the tag of the other
// side. The zero value is ready to use.
type earlySessions struct {
	mu  sync.Mutex // must be held briefly: it blocks the reading of messages
	sdp map[string][]byte
}

// maxEarly bounds the early dialogs of a call.
const maxEarly = 16

// keep stores the SDP of an early dialog and replaces an older one.
func (e *earlySessions) keep(tag string, body []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sdp == nil {
		e.sdp = map[string][]byte{}
	}
	if _, known := e.sdp[tag]; known || len(e.sdp) < maxEarly {
		e.sdp[tag] = bytes.Clone(body)
	}
}

// of returns the SDP of an early dialog, or nil. The SDP of a response without a tag,
// as RFC 2543 allowed, applies to each dialog without SDP.
func (e *earlySessions) of(tag string) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if own, ok := e.sdp[tag]; ok {
		return own
	}
	return e.sdp[""]
}

// resolveTimeout bounds the resolution of a host name in an SDP.
const resolveTimeout = 2 * time.Second

// describes reports whether a body contains an SDP with a media stream. Other messages
// do not change the session.
func describes(body []byte) bool { return bytes.Contains(body, []byte("m=")) }

// promise stores the SDP of a provisional response. It applies if the answer to the
// INVITE has no SDP (RFC 3261 §13.2.1).
func (c *call) promise(res *sip.Response) { c.sdp.early.keep(tagOf(res.To()), res.Body()) }

// addresses returns the audio addresses of the early dialogs. Host names are not
// resolved and yield an invalid address.
func (e *earlySessions) addresses() (list []netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, body := range e.sdp {
		if d, err := media.Parse(body); err == nil {
			list = append(list, d.Addr)
		}
	}
	return list
}

// dropEarly discards early media if part of it may originate from a phone or server
// that did not answer: such packets must not select the destination of the audio.
func (c *call) dropEarly(answer []byte) {
	own, _ := media.Parse(answer) // an error is reported by start
	others := slices.DeleteFunc(c.sdp.early.addresses(), func(a netip.AddrPort) bool { return a == own.Addr })
	if len(others) > 0 {
		c.media.DropEarly(others...)
	}
}

// begin acknowledges the answer to the INVITE and starts the audio that it describes.
// For an answer without SDP it uses the SDP of the same early dialog. The SDP of
// another dialog would send the audio to another phone.
func (c *call) begin(ctx context.Context) error {
	c.sdp.mu.Lock() // a re-INVITE that follows the ACK waits
	defer c.sdp.mu.Unlock()
	// ACK first: the answer is retransmitted until then, and name resolution may be slow.
	if err := c.session.Ack(ctx); err != nil {
		return err
	}
	answer := c.session.InviteResponse
	body := answer.Body()
	if !describes(body) {
		body = c.sdp.early.of(tagOf(answer.To()))
	}
	c.sdp.answered = true
	c.dropEarly(body)
	return c.start(ctx, body, answer)
}

// start makes an SDP of the other side the session. carrier is the message that
// contained it or confirmed an earlier one. The caller holds sdp.mu.
func (c *call) start(ctx context.Context, body []byte, carrier sip.Message) error {
	remote, err := c.read(ctx, body)
	remote.Source = sourceOf(carrier)
	if err == nil {
		err = c.media.Start(remote)
	}
	if err != nil {
		return err
	}
	select {
	case c.sdp.changed <- struct{}{}:
	default: // an unread signal covers this change
	}
	return nil
}

// sourceOf returns the source address of a message's datagram or connection. It is
// invalid for a message that was not received.
func sourceOf(m sip.Message) netip.Addr {
	from, _ := netip.ParseAddrPort(m.Source()) // invalid on error
	return from.Addr().Unmap()
}

// read parses an SDP of the other side and resolves its host name.
func (c *call) read(ctx context.Context, body []byte) (media.Description, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var names media.Resolver = net.DefaultResolver
	if c.trunk.cfg.Names != nil {
		names = c.trunk.cfg.Names
	}
	return media.Resolve(ctx, body, names)
}

// errPending rejects an offer that crosses another one (RFC 3261 §14.2, RFC 3311 §5.2).
var errPending = errors.New("an offer has no answer yet")

// accept makes an offer within the call the session and returns our answer.
func (c *call) accept(req *sip.Request) (answer []byte, err error) {
	c.awaitAnswer()
	c.sdp.mu.Lock()
	defer c.sdp.mu.Unlock()
	tag := tagOf(req.From())
	if c.sdp.offering != nil || !c.sdp.answered && c.sdp.early.of(tag) == nil {
		return nil, errPending
	}
	offer := req.Body()
	remote, err := c.read(c.life, offer)
	if err != nil {
		return nil, err
	}
	local, err := c.media.Answer(remote)
	if err != nil {
		return nil, err
	}
	if c.sdp.answered {
		err = c.start(c.life, offer, req)
	} else { // UPDATE in an early dialog
		c.sdp.early.keep(tag, offer)
	}
	return local.MarshalAnswer(offer), err
}

// ackWait bounds the wait of a request for an ACK that was sent before it: messages are
// handled concurrently, so their order may change.
const ackWait = 500 * time.Millisecond

// awaitAnswer waits up to ackWait for the answer to our pending offer.
func (c *call) awaitAnswer() {
	c.sdp.mu.Lock()
	pending := c.sdp.offering
	c.sdp.mu.Unlock()
	if pending == nil {
		return
	}
	timer := time.NewTimer(ackWait)
	defer timer.Stop()
	select {
	case <-pending:
	case <-timer.C:
	case <-c.life.Done():
	}
}

// offer returns an SDP offer that the ACK answers.
func (c *call) offer() ([]byte, error) {
	c.awaitAnswer()
	c.sdp.mu.Lock()
	defer c.sdp.mu.Unlock()
	if c.sdp.offering != nil || !c.sdp.answered {
		return nil, errPending
	}
	c.sdp.offering = make(chan struct{})
	return c.media.Offer().Marshal(), nil
}

// applyAckAnswer applies the answer to our offer in the body of ack; nil means that no
// ACK arrived. Without SDP the session does not change. An answer without usable audio
// ends the call, since an ACK cannot be refused.
func (c *call) applyAckAnswer(ack *sip.Request) {
	c.sdp.mu.Lock()
	defer c.sdp.mu.Unlock()
	close(c.sdp.offering)
	c.sdp.offering = nil
	switch {
	case ack == nil && c.life.Err() != nil: // the call is over
	case ack == nil:
		c.trunk.log.Warn("no ACK to a re-INVITE; keeping the previous session", "event_id", c.message.EventID.String())
	case !describes(ack.Body()):
		c.trunk.log.Warn("ACK without an answer to our SDP offer; keeping the previous session", "event_id", c.message.EventID.String())
	default:
		if err := c.start(c.life, ack.Body(), ack); err != nil {
			c.trunk.log.Warn("SDP answer in the ACK is unusable; ending the call", "event_id", c.message.EventID.String(), "error", err)
			c.sdp.unusable.raise()
		}
	}
}
