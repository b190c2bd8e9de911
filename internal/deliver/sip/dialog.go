package sip

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// onBye ends the call.
func (c *call) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c.gone.Do(func() { close(c.over) })
	respond(tx, req, 200, "OK")
}

// onInvite handles a re-INVITE, which moves the media, holds the call, or requests an
// offer from us, answered in the ACK. It returns after the ACK.
func (c *call) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	var body []byte
	var err error
	asked := !describes(req.Body()) // delayed offer
	if asked {
		body, err = c.offer()
	} else {
		body, err = c.accept(req)
	}
	if err != nil {
		refuse(tx, req, err)
		return
	}
	ack := c.agree(req, tx, c.agreement(req, body))
	if asked {
		c.applyAckAnswer(ack)
	}
}

// refuse rejects an offer.
func refuse(tx sip.ServerTransaction, req *sip.Request, err error) {
	if errors.Is(err, errPending) {
		respond(tx, req, 491, "Request Pending")
		return
	}
	respond(tx, req, 488, "Not Acceptable Here")
}

// agree sends a final response to a re-INVITE, retransmits it until the ACK arrives
// (RFC 3261 §14.2), and returns the ACK; nil if none arrived in 64*T1.
func (c *call) agree(req *sip.Request, tx sip.ServerTransaction, res *sip.Response) *sip.Request {
	seq := uint32(0)
	if h := req.CSeq(); h != nil {
		seq = h.SeqNo
	}
	acks := c.expectAck(seq)
	defer c.expectNoAck(seq)
	giveUp := time.NewTimer(64 * sip.T1)
	defer giveUp.Stop()
	for pause := sip.T1; ; pause = min(2*pause, sip.T2) {
		_ = tx.Respond(res) // retransmitted below
		again := time.NewTimer(pause)
		select {
		case ack := <-acks:
			again.Stop()
			return ack
		case ack := <-tx.Acks(): // some peers reuse the branch of the INVITE
			again.Stop()
			return ack
		case <-again.C:
			continue
		case <-giveUp.C:
		case <-tx.Done():
		case <-c.life.Done():
		}
		again.Stop()
		return nil
	}
}

func (c *call) expectAck(seq uint32) <-chan *sip.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	acks := make(chan *sip.Request, 1)
	c.acks[seq] = acks
	return acks
}

func (c *call) expectNoAck(seq uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.acks, seq)
}

// onAck passes an ACK to [call.agree].
func (c *call) onAck(req *sip.Request) {
	h := req.CSeq()
	if h == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.acks[h.SeqNo] <- req:
	default: // repeated or unexpected
	}
}

// onUpdate handles the refresh of a session timer (RFC 4028) or a new SDP.
func (c *call) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	var body []byte
	if describes(req.Body()) {
		var err error
		if body, err = c.accept(req); err != nil {
			refuse(tx, req, err)
			return
		}
	}
	_ = tx.Respond(c.agreement(req, body)) // the peer retransmits its request
}

// agreement returns the 200 to a request that refreshes the session, with the session
// timer of the request, if any, and body as SDP unless it is nil.
func (c *call) agreement(req *sip.Request, body []byte) *sip.Response {
	res := sip.NewResponseFromRequest(req, 200, "OK", body)
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	res.AppendHeader(sip.HeaderClone(&c.trunk.contact))
	if expires := req.GetHeader("Session-Expires"); expires != nil {
		value, _, _ := strings.Cut(expires.Value(), ";")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
			res.AppendHeader(sip.NewHeader("Require", "timer"))
			res.AppendHeader(sip.NewHeader("Session-Expires", strconv.FormatUint(n, 10)+";refresher=uac"))
		}
	}
	return res
}

// onInfo handles a key press in the signalling: "Signal=1" as application/dtmf-relay,
// or the digit alone as application/dtmf.
func (c *call) onInfo(req *sip.Request, tx sip.ServerTransaction) {
	respond(tx, req, 200, "OK")
	kind := ""
	if h := req.ContentType(); h != nil {
		kind = strings.ToLower(h.Value())
	}
	switch body := string(req.Body()); {
	case strings.HasPrefix(kind, "application/dtmf-relay"):
		for line := range strings.Lines(body) {
			if name, value, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(name), "signal") {
				c.media.Pressed(strings.TrimSpace(value))
			}
		}
	case strings.HasPrefix(kind, "application/dtmf"):
		c.media.Pressed(strings.TrimSpace(body))
	}
}

// refresh renews the session timer until ctx ends, if the answer makes us the refresher
// (RFC 4028 §7.2). It sends an UPDATE after each half interval. Failures are ignored,
// since a call ends before its timer expires.
func (c *call) refresh(ctx context.Context, answer *sip.Response) {
	h := answer.GetHeader("Session-Expires")
	if h == nil {
		return
	}
	_, params, _ := strings.Cut(h.Value(), ";")
	interval := seconds(answer, "Session-Expires")
	if interval < 2 || !strings.Contains(strings.ToLower(params), "refresher=uac") {
		return
	}
	for sleep(ctx, time.Duration(interval)*time.Second/2) {
		_, _ = c.session.Do(ctx, sip.UPDATE,
			sip.NewHeader("Session-Expires", strconv.Itoa(interval)+";refresher=uac"), sip.NewHeader("Supported", "timer"))
	}
}
