package sip

import (
	"context"
	"maps"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// invitation is the state of an INVITE. It may have several answers, since a proxy may
// fork it to several phones (RFC 3261 §13.2.2.4). Answers may also arrive after the end
// of the call, so the invitation outlives the call by 64*T1.
type invitation struct {
	invite  *sip.Request  // last INVITE sent, without its body
	decided chan struct{} // closed when the call accepts an answer or ends without one
	until   time.Time     // time of deletion; zero during the call

	// Under mu of the trunk:

	cancelled bool
	first     *sip.Response   // first answer received, until the decision
	answered  bool            // the call accepted an answer
	tag       string          // To tag of the accepted answer
	ended     map[string]bool // To tags of other answers, ended with a BYE
}

// mostForks bounds the answers to one INVITE that are ended.
const mostForks = 20

// sent records an INVITE before it is sent, each time that it changes.
func (t *trunk) sent(id string, invite *sip.Request) {
	slim := hopRequest(invite, sip.INVITE, invite.To())
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.invitations[id]
	if v == nil {
		v = &invitation{decided: make(chan struct{}), ended: map[string]bool{}}
		t.invitations[id] = v
		t.gate.expect(id)
	}
	v.invite = slim
}

// came records the first answer to each INVITE. It is called with the messages in their
// order of arrival; sipgo handles each message in a goroutine and loses that order.
func (t *trunk) came(m sip.Message) {
	res, ok := m.(*sip.Response)
	if !ok || !res.IsSuccess() || res.CallID() == nil || res.CSeq() == nil || res.CSeq().MethodName != sip.INVITE {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v := t.invitations[res.CallID().Value()]; v != nil && v.first == nil && v.open() && v.invite.CSeq().SeqNo == res.CSeq().SeqNo {
		v.first = res
	}
}

// open reports whether the call may still accept an answer.
func (v *invitation) open() bool {
	select {
	case <-v.decided:
		return false
	default:
		return true
	}
}

// decide returns the answer that a call accepts: the first that arrived, which may not
// be the given one. nil means that the call ends without an answer. Only the first
// decision has an effect; later calls return answer.
func (t *trunk) decide(id string, answer *sip.Response) *sip.Response {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.invitations[id]
	if v == nil || !v.open() {
		return answer
	}
	close(v.decided)
	if answer != nil && v.first != nil && tagOf(v.first.To()) != tagOf(answer.To()) {
		other := answer
		answer = v.first
		t.serving.Go(func() { t.handleUnmatched(other) })
	}
	v.first = nil
	if answer != nil {
		v.answered, v.tag = true, tagOf(answer.To())
	}
	return answer
}

// remove deletes a call but keeps its invitation for 64*T1. It also deletes expired
// invitations of other calls.
func (t *trunk) remove(c *call) {
	t.decide(c.id, nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, c.id)
	now := time.Now()
	maps.DeleteFunc(t.invitations, func(id string, v *invitation) bool {
		over := !v.until.IsZero() && v.until.Before(now)
		if over {
			t.gate.forget(id)
		}
		return over
	})
	if v := t.invitations[c.id]; v != nil {
		v.until, v.cancelled = now.Add(64*sip.T1), c.withdrawn
	}
}

// tagOf returns the tag of a To or From header; "" for a header without one.
func tagOf(h interface{ Value() string }) string {
	var params sip.HeaderParams
	switch h := h.(type) {
	case *sip.ToHeader:
		if h != nil {
			params = h.Params
		}
	case *sip.FromHeader:
		if h != nil {
			params = h.Params
		}
	}
	tag, _ := params.Get("tag")
	return tag
}

// handleUnmatched processes a response to an INVITE that matches no waiting call: it
// arrived after the first answer or after the end of the call.
func (t *trunk) handleUnmatched(res *sip.Response) {
	seq, id := res.CSeq(), res.CallID()
	if seq == nil || seq.MethodName != sip.INVITE || id == nil {
		return
	}
	t.mu.Lock()
	v := t.invitations[id.Value()]
	known := v != nil && v.invite.CSeq().SeqNo == seq.SeqNo
	over := known && !v.until.IsZero()
	ring := over && res.IsProvisional() && !v.answered && !v.cancelled
	if ring {
		v.cancelled = true
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
	defer cancel()
	switch { // errors have no receiver
	case ring: // a phone rings after the call was abandoned
		_, _ = t.client.Do(ctx, hopRequest(v.invite, sip.CANCEL, v.invite.To()), asItIs)
	case known && res.IsSuccess():
		t.answer(ctx, v, res)
	case over && !res.IsProvisional(): // stops retransmissions (RFC 3261 §17.1.1.3)
		_ = t.client.WriteRequest(hopRequest(v.invite, sip.ACK, res.To()), asItIs)
	}
}

// answer handles a 2xx that no call is waiting for. It acknowledges each copy (RFC 3261
// §13.2.2.4). If the answer's To tag differs from the tag of the call, it is ended with
// one BYE. Otherwise the callee would hear silence until the trunk hangs up.
func (t *trunk) answer(ctx context.Context, v *invitation, res *sip.Response) {
	select {
	case <-v.decided:
	case <-ctx.Done():
		return
	}
	tag := tagOf(res.To())
	t.mu.Lock()
	extra := !v.answered || v.tag != tag
	first := extra && !v.ended[tag] && len(v.ended) < mostForks
	if first {
		v.ended[tag] = true
	}
	s := &session{trunk: t, InviteRequest: v.invite, InviteResponse: res, seq: v.invite.CSeq().SeqNo}
	late := !v.answered
	t.mu.Unlock()
	_ = s.Ack(ctx) // on failure the answer is retransmitted
	if !first {
		return
	}
	t.metrics.extra.Inc()
	t.log.Warn("extra answer to a call ended", "call_id", v.invite.CallID().Value(), "after_cancel", late)
	if _, err := s.Do(ctx, sip.BYE); err != nil {
		t.log.Warn("extra answer to a call not ended", "call_id", v.invite.CallID().Value(), "error", err)
	}
}

// ours reports whether a request within a dialog belongs to the call. A request from
// another phone of the same INVITE has the same Call-ID but another tag.
func (t *trunk) ours(id string, req *sip.Request) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.invitations[id]
	return v == nil || !v.answered || v.tag == tagOf(req.From())
}

// asItIs is a client option: sipgo sends the request unmodified.
func asItIs(*sipgo.Client, *sip.Request) error { return nil }

// hopRequest returns a request that the next hop matches by the branch of the INVITE:
// a CANCEL, or the ACK to a refusal (RFC 3261 §9.1, §17.1.1.3).
func hopRequest(invite *sip.Request, method sip.RequestMethod, to *sip.ToHeader) *sip.Request {
	req := sip.NewRequest(method, *invite.Recipient.Clone())
	req.AppendHeader(sip.HeaderClone(invite.Via()))
	sip.CopyHeaders("Route", invite, req)
	req.AppendHeader(sip.HeaderClone(invite.From()))
	req.AppendHeader(sip.HeaderClone(to))
	req.AppendHeader(sip.HeaderClone(invite.CallID()))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: method})
	forwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&forwards)
	req.SetTransport(invite.Transport())
	req.SetSource(invite.Source())
	req.SetDestination(invite.Destination())
	req.Laddr = invite.Laddr
	return req
}
