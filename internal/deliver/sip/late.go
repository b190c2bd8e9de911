package sip

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// givenUp is a call that was given up before its answer, of which the trunk may
// still say something.
type givenUp struct {
	until  time.Time
	invite *sip.Request // as it was sent last; nil if it never was
	rang   bool         // and was cancelled for it
}

// remove forgets a call; not quite, if nobody answered it.
func (t *trunk) remove(c *call, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, c.id)
	if answered || c.session == nil {
		return
	}
	now := time.Now()
	maps.DeleteFunc(t.given, func(_ string, g *givenUp) bool { return g.until.Before(now) })
	t.given[c.id] = &givenUp{until: now.Add(64 * sip.T1), invite: c.session.InviteRequest, rang: c.withdrawn}
}

// stray takes a response that nobody waits for. A phone may ring only now that we
// have given up: that call is cancelled. Somebody may have answered, and would hear
// nothing until the trunk gives up, too: that call is acknowledged and ended at once
// (RFC 3261 §13.2.2.4). A refusal is acknowledged, or it would be said again for half
// a minute (§17.1.1.3).
func (t *trunk) stray(res *sip.Response) {
	seq, id := res.CSeq(), res.CallID()
	if seq == nil || seq.MethodName != sip.INVITE || id == nil {
		return
	}
	t.mu.Lock()
	g := t.given[id.Value()]
	known := g != nil && g.invite.CSeq().SeqNo == seq.SeqNo
	late := known && res.IsProvisional() && !g.rang
	if late {
		g.rang = true
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
	defer cancel()
	switch { // nobody is left to tell of errors
	case late:
		_, _ = t.client.Do(ctx, hopRequest(g.invite, sip.CANCEL, g.invite.To()), asItIs)
	case known && res.IsSuccess():
		_ = t.client.WriteRequest(t.within(res, sip.ACK), sipgo.ClientRequestAddVia)
		_, _ = t.client.Do(ctx, t.within(res, sip.BYE))
	case known && !res.IsProvisional():
		_ = t.client.WriteRequest(hopRequest(g.invite, sip.ACK, res.To()), asItIs)
	}
}

// asItIs has sipgo add nothing to a request.
func asItIs(*sipgo.Client, *sip.Request) error { return nil }

// hopRequest writes the CANCEL of an INVITE, or the ACK to a refusal of it: both go
// to the next hop only, which knows them by the branch of the INVITE (RFC 3261 §9.1,
// §17.1.1.3).
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

// within writes a request of a call of which only the answer is left (RFC 3261
// §12.2.1.1).
func (t *trunk) within(res *sip.Response, method sip.RequestMethod) *sip.Request {
	to := sip.Uri{}
	if contact := res.Contact(); contact != nil {
		to = *contact.Address.Clone()
	}
	req := sip.NewRequest(method, to)
	req.SetTransport(strings.ToUpper(t.cfg.Transport))
	sip.CopyHeaders("From", res, req)
	sip.CopyHeaders("To", res, req)
	sip.CopyHeaders("Call-ID", res, req)
	seq := *res.CSeq()
	seq.MethodName = method
	if method != sip.ACK {
		seq.SeqNo++
	}
	req.AppendHeader(&seq)
	forwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&forwards)
	recorded := res.GetHeaders("Record-Route")
	for _, h := range slices.Backward(recorded) {
		req.AppendHeader(sip.NewHeader("Route", h.Value()))
	}
	return req
}
