package softphone

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// handle answers the call and runs the script.
func (c *call) handle(ctx context.Context) {
	session, err := c.open(c.Invite.Body())
	if err != nil {
		c.note(func(k *Call) { k.Err = err })
		c.refuse(488)
		return
	}
	defer func() { _ = c.current().Close() }() // the call is over
	var listening sync.WaitGroup
	defer listening.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	listening.Go(func() { c.listen(ctx, session) })
	c.progressTwice()
	listening.Go(func() { c.answerTwice(ctx) })
	if early := c.phone.cfg.Early; early != nil || c.phone.cfg.EarlySDP {
		_ = c.dialog.Respond(183, "Session Progress", c.body(), sip.NewHeader("Content-Type", "application/sdp"))
		session.Play(ctx, early)
	}
	if ctx.Err() == nil && c.answer(ctx) {
		c.perform(ctx, c.phone.cfg.Script)
	}
}

// current returns the session, which a script may replace.
func (c *call) current() *media.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.media
}

// body returns the phone's SDP answer to the INVITE.
func (c *call) body() []byte {
	if c.phone.cfg.SDP != nil {
		return c.phone.cfg.SDP
	}
	c.mu.Lock()
	sdp := c.said.MarshalAnswer(c.Invite.Body())
	c.mu.Unlock()
	if host := c.phone.cfg.SDPHost; host != "" {
		sdp = atHost(sdp, host)
	}
	switch held := c.phone.cfg.Held; held {
	case "":
	case zeros:
		sdp = atHost(sdp, "0.0.0.0")
	default:
		sdp = inDirection(sdp, media.Direction(held))
	}
	return sdp
}

// listen records the other side's key presses.
func (c *call) listen(ctx context.Context, session *media.Session) {
	for {
		select {
		case key := <-session.Digits():
			c.note(func(k *Call) { k.Keys += string(key) })
		case <-ctx.Done():
			return
		}
	}
}

// answer sends the 200 and retransmits it until the ACK (RFC 3261 §13.3.1.4). It returns
// false if the call has ended.
func (c *call) answer(ctx context.Context) bool {
	res := sip.NewSDPResponseFromRequest(c.dialog.InviteRequest, c.body())
	if c.phone.cfg.EarlySDP {
		res = sip.NewResponseFromRequest(c.dialog.InviteRequest, 200, "OK", nil)
	}
	res.AppendHeader(sip.HeaderClone(&c.phone.dialog.ContactHDR))
	if seconds := c.phone.cfg.SessionExpires; seconds > 0 {
		res.AppendHeader(sip.NewHeader("Require", "timer"))
		res.AppendHeader(sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=uac", seconds)))
	}
	c.dialog.InviteResponse = res
	if c.tx.Respond(res) != nil {
		return false // already cancelled
	}
	c.note(func(k *Call) { k.Answered, k.Status = time.Now(), 200 })
	close(c.crossed)
	giveUp := time.After(64 * sip.T1)
	for pause := sip.T1; ; pause = min(2*pause, sip.T2) {
		select {
		case <-c.acked:
			return true
		case <-ctx.Done():
			if c.phone.ctx.Err() == nil && c.end(NoAck) { // the transaction timed out
				c.hangUp()
			}
			return false
		case <-giveUp:
			c.end(NoAck)
			c.hangUp()
			return false
		case <-time.After(pause):
			_ = c.tx.Respond(res) // retransmission
		}
	}
}

// perform runs the script and waits for the end of the call.
func (c *call) perform(ctx context.Context, script []Step) {
	var background sync.WaitGroup
	defer background.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for i, step := range script {
		err := step(stage{c, ctx, &background})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.note(func(k *Call) { k.Err = fmt.Errorf("step %d of the script: %w", i+1, err) })
			break
		}
	}
	<-ctx.Done()
}

// byeTimeout bounds the wait for the response to a BYE.
const byeTimeout = 5 * time.Second

// hangUp sends a BYE.
func (c *call) hangUp() {
	ctx, cancel := context.WithTimeout(c.phone.ctx, byeTimeout)
	defer cancel()
	if err := c.dialog.Bye(ctx); err != nil {
		c.note(func(k *Call) { k.Err = fmt.Errorf("BYE: %w", err) })
	}
}

func (p *Phone) onAck(req *sip.Request, tx sip.ServerTransaction) {
	id := req.CallID()
	if id == nil || req.CSeq() == nil {
		return
	}
	c := p.find(id.Value())
	if c != nil && c.forSecond(req, tx) {
		return
	}
	if c != nil && c.dialog.ReadAck(req, tx) == nil { // ACK of the INVITE, not of a re-INVITE
		c.ack.Do(func() {
			c.note(func(k *Call) { k.Acked = true })
			close(c.acked)
		})
	}
}

// ackWait bounds the wait of a BYE for the ACK that was sent before it: requests are
// handled concurrently, so their order may change.
const ackWait = time.Second

func (p *Phone) onBye(req *sip.Request, tx sip.ServerTransaction) {
	if p.cfg.AskOnBye && !p.auth.admits(req, tx) {
		return
	}
	p.inDialog(func(c *call, req *sip.Request, tx sip.ServerTransaction) {
		if c.forSecond(req, tx) {
			return
		}
		select {
		case <-c.acked:
		case <-p.ctx.Done():
		case <-time.After(ackWait):
		}
		c.end(Bye)
		if req.CSeq() == nil || c.dialog.ReadBye(req, tx) != nil {
			respond(tx, req, 500, "Server Internal Error")
		}
		c.leave()
	})(req, tx)
}

// onUpdate handles the refresh of a session timer (RFC 4028).
func (c *call) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	c.note(func(k *Call) { k.Refreshes++ })
	headers := []sip.Header{sip.HeaderClone(&c.phone.dialog.ContactHDR)}
	if h := req.GetHeader("Session-Expires"); h != nil {
		headers = append(headers, sip.NewHeader("Require", "timer"), sip.NewHeader("Session-Expires", h.Value()))
	}
	respond(tx, req, 200, "OK", headers...)
}

// onReInvite handles a new SDP of the other side.
func (c *call) onReInvite(req *sip.Request, tx sip.ServerTransaction) {
	c.note(func(k *Call) { k.Refreshes++ })
	session := c.current()
	if session == nil {
		respond(tx, req, 491, "Request Pending") // RFC 3261 §14.2
		return
	}
	said := session.Offer()
	if len(req.Body()) > 0 {
		offer, err := c.negotiate(req.Body())
		if err == nil {
			said, err = session.Answer(offer)
		}
		if err == nil {
			err = c.start(session, offer)
		}
		if err != nil {
			respond(tx, req, 488, "Not Acceptable Here")
			return
		}
		c.mu.Lock()
		c.offer, c.said = offer, said
		c.mu.Unlock()
	}
	res := sip.NewSDPResponseFromRequest(req, said.Marshal())
	res.AppendHeader(sip.HeaderClone(&c.phone.dialog.ContactHDR))
	_ = tx.Respond(res) // the peer retransmits its request
}
