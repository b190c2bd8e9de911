package softphone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// onInvite handles a call and returns at its end.
func (p *Phone) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	if to := req.To(); to != nil && to.Params.Has("tag") {
		p.inDialog((*call).onReInvite)(req, tx)
		return
	}
	if !p.auth.admits(req, tx) {
		return
	}
	if least := p.cfg.MinSE; least > 0 && minSE(req) < least {
		respond(tx, req, 422, "Session Interval Too Small", sip.NewHeader("Min-SE", strconv.Itoa(least)))
		return
	}
	dialog, err := p.dialog.ReadInvite(req, tx)
	if err != nil || req.CallID() == nil {
		respond(tx, req, 400, "Bad Request")
		return
	}
	defer func() { _ = dialog.Close() }() // sends nothing
	c := newCall(p, dialog, req, tx)
	ctx, leave := context.WithCancel(p.ctx)
	defer leave()
	c.leave = leave
	// The dialog context ends with a CANCEL before the answer, or a BYE after it.
	defer context.AfterFunc(dialog.Context(), leave)()
	if !p.begin(c) {
		respond(tx, req, 503, "Service Unavailable")
		return
	}
	defer p.end(c)
	if c.ring(ctx) {
		c.handle(ctx)
	}
	switch {
	case p.ctx.Err() != nil:
		c.end(Closed)
	default:
		c.end(Cancelled)
	}
}

// minSE returns the seconds in the Min-SE header (RFC 4028 §5); 0 if it is absent.
func minSE(req *sip.Request) int {
	h := req.GetHeader("Min-SE")
	if h == nil {
		return 0
	}
	value, _, _ := strings.Cut(h.Value(), ";")
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil {
		return 0
	}
	return n
}

// ring runs the call up to the answer and reports whether to answer it.
func (c *call) ring(ctx context.Context) bool {
	cfg := &c.phone.cfg
	switch {
	case cfg.TryingOnly:
		_ = c.dialog.Respond(100, "Trying", nil)
		<-ctx.Done()
		return false
	case cfg.Ring, cfg.RingForever, cfg.Late, cfg.AnswerAfter > 0:
		_ = c.dialog.Respond(180, "Ringing", nil)
		if c.fork.tag != "" {
			_ = c.tx.Respond(c.forkResponse(180, "Ringing", nil))
		}
	}
	switch {
	case cfg.RingForever:
		<-ctx.Done()
		return false
	case cfg.Late:
		select {
		case <-c.crossing:
		case <-ctx.Done():
			return false
		}
	case !sleep(ctx, cfg.AnswerAfter):
		return false
	}
	if cfg.Status != 0 {
		c.refuse(cfg.Status)
		return false
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// refuse ends the call with a response.
func (c *call) refuse(status int) {
	if c.tx.Respond(sip.NewResponseFromRequest(c.dialog.InviteRequest, status, reason(status), nil)) != nil {
		return // already cancelled
	}
	c.note(func(k *Call) { k.Status = status })
	c.end(Refused)
}

// reason returns the phrase of a common response (RFC 3261 §21), otherwise "No".
func reason(status int) string {
	switch status {
	case 404:
		return "Not Found"
	case 480:
		return "Temporarily Unavailable"
	case 486:
		return "Busy Here"
	case 488:
		return "Not Acceptable Here"
	case 503:
		return "Service Unavailable"
	case 603:
		return "Decline"
	}
	return "No"
}

// negotiate parses the other side's SDP and removes the codecs that the phone lacks.
func (c *call) negotiate(body []byte) (offer media.Description, err error) {
	if offer, err = media.Parse(body); err != nil {
		return offer, err
	}
	if from, err := netip.ParseAddrPort(c.dialog.InviteRequest.Source()); err == nil {
		offer.Source = from.Addr().Unmap()
	}
	var codecs []uint8
	for _, codec := range offer.Codecs {
		if slices.Contains(c.phone.cfg.Codecs, codec) {
			codecs = append(codecs, codec)
		}
	}
	offer.Codecs = codecs
	if len(codecs) == 0 {
		return offer, errors.New("no codec in common")
	}
	return offer, nil
}

// open negotiates an offer and starts the audio. The caller closes the session.
func (c *call) open(body []byte) (*media.Session, error) {
	offer, err := c.negotiate(body)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	session, err := c.session(c.phone.cfg.Secure)
	if err != nil {
		return nil, err
	}
	said, err := session.Answer(offer)
	if err == nil {
		err = c.start(session, offer)
	}
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	c.mu.Lock()
	c.media, c.offer, c.said = session, offer, said
	c.Encrypted = offer.Key != nil
	c.mu.Unlock()
	return session, nil
}

func (c *call) session(secure bool) (*media.Session, error) {
	return media.Open(media.Config{
		Local: c.phone.addr.Addr(), FirstPort: firstPort, LastPort: lastPort, Secure: secure, Tap: c.hear,
		Mute: c.phone.cfg.NoRTP,
	})
}

// start starts the session with an offer; with OtherCodec it prefers the last codec.
func (c *call) start(session *media.Session, offer media.Description) error {
	if c.phone.cfg.OtherCodec {
		offer.Codecs = slices.Clone(offer.Codecs)
		slices.Reverse(offer.Codecs)
	}
	return session.Start(offer)
}
