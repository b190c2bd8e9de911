package softphone

import (
	"context"
	"time"

	"github.com/emiago/sipgo/sip"
)

// fork is a second phone that a proxy calls in parallel (RFC 3261 §16.7) and that also
// answers.
type fork struct {
	tag   string        // To tag of the second phone; "" for no second phone
	acked chan struct{} // closed by the first ACK
}

// forkResponse returns a response of the second phone.
func (c *call) forkResponse(status int, reason string, body []byte) *sip.Response {
	res := sip.NewResponseFromRequest(c.dialog.InviteRequest, status, reason, body)
	if to := res.To(); to != nil {
		to.Params.Add("tag", c.fork.tag)
	}
	res.AppendHeader(sip.HeaderClone(&c.phone.dialog.ContactHDR))
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	return res
}

// progressTwice sends the provisional responses of both phones.
func (c *call) progressTwice() {
	if c.fork.tag == "" {
		return
	}
	_ = c.dialog.Respond(183, "Session Progress", c.body(), sip.NewHeader("Content-Type", "application/sdp"))
	_ = c.tx.Respond(c.forkResponse(183, "Session Progress", c.body()))
}

// answerTwice waits for the answer of the first phone, then retransmits the answer of
// the second until it is acknowledged or ctx ends.
func (c *call) answerTwice(ctx context.Context) {
	if c.fork.tag == "" {
		return
	}
	select {
	case <-c.crossed:
	case <-ctx.Done():
		return
	}
	for pause := sip.T1; ; pause = min(2*pause, sip.T2) {
		_ = c.tx.Respond(c.forkResponse(200, "OK", c.body()))
		select {
		case <-c.fork.acked:
			return
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// forSecond handles a request to the second phone. It returns false for other requests.
func (c *call) forSecond(req *sip.Request, tx sip.ServerTransaction) bool {
	to := req.To()
	if to == nil || c.fork.tag == "" {
		return false
	}
	if tag, _ := to.Params.Get("tag"); tag != c.fork.tag {
		return false
	}
	switch req.Method {
	case sip.ACK:
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.SecondAcked {
			c.SecondAcked = true
			close(c.fork.acked)
		}
	case sip.BYE:
		c.note(func(k *Call) { k.Second = Bye })
		respond(tx, req, 200, "OK")
	default:
		respond(tx, req, 481, "Call/Transaction Does Not Exist")
	}
	return true
}
