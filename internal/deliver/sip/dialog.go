package sip

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// onBye takes the other side's goodbye.
func (c *call) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c.gone.Do(func() { close(c.over) })
	respond(tx, req, 200, "OK")
}

// onInvite takes a re-INVITE: the other side moves its media, holds the call, or asks
// for an offer, to which its ACK has the answer. It returns when the ACK has come.
func (c *call) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	var body []byte
	var err error
	asked := !describes(req.Body())
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

// refuse says no to an offer.
func refuse(tx sip.ServerTransaction, req *sip.Request, err error) {
	if errors.Is(err, errPending) {
		respond(tx, req, 491, "Request Pending")
		return
	}
	respond(tx, req, 488, "Not Acceptable Here")
}

// agree answers a re-INVITE with a response, repeated until its ACK comes, which it
// returns (RFC 3261 §14.2); nil if none did.
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
		_ = tx.Respond(res) // a response that is lost is repeated
		again := time.NewTimer(pause)
		select {
		case ack := <-acks:
			again.Stop()
			return ack
		case ack := <-tx.Acks(): // with the branch of the INVITE, as some write it
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

// onAck takes the ACK to a response of [call.agree].
func (c *call) onAck(req *sip.Request) {
	h := req.CSeq()
	if h == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.acks[h.SeqNo] <- req:
	default: // it was repeated, or belongs to nothing
	}
}

// onUpdate is a session timer that is renewed (RFC 4028), or a new description.
func (c *call) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	var body []byte
	if describes(req.Body()) {
		var err error
		if body, err = c.accept(req); err != nil {
			refuse(tx, req, err)
			return
		}
	}
	_ = tx.Respond(c.agreement(req, body)) // who asked asks again
}

// agreement writes the 200 to a request that refreshes the session, with its timer and
// an SDP, if there is one.
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

// onInfo takes a key that comes in the signalling: "Signal=1", as
// application/dtmf-relay, or the digit alone, as application/dtmf.
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

// refresh renews the session timer until ctx ends, if the answer leaves that to us
// (RFC 4028 §7.2): after half its time, by an UPDATE. One that fails does no harm,
// since a call is over before the timer is.
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
		_, _ = c.session.Do(ctx, sip.UPDATE, // see above
			sip.NewHeader("Session-Expires", strconv.Itoa(interval)+";refresher=uac"), sip.NewHeader("Supported", "timer"))
	}
}
