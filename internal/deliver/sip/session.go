package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// session is an INVITE and the dialog that its answer creates (RFC 3261 §12).
type session struct {
	trunk          *trunk
	InviteRequest  *sip.Request  // last INVITE sent; must not be modified
	InviteResponse *sip.Response // last response; nil before the first

	tx  sip.ClientTransaction // transaction of InviteRequest
	seq uint32                // CSeq of the last request
}

// send sends the INVITE in a new transaction. Answers beyond the first are passed to
// [trunk.handleUnmatched].
func (s *session) send(ctx context.Context, id string) error {
	t, req := s.trunk, s.InviteRequest
	if err := sipgo.ClientRequestBuild(t.client, req); err != nil {
		return unsent(req, err)
	}
	tx, err := t.ua.TransactionLayer().NewClientTransaction(ctx, req)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoConnection, unsent(req, err))
	}
	t.sent(id, req) // must precede the first response
	tx.OnRetransmission(t.handleUnmatched)
	if err := tx.Init(); err != nil {
		tx.Terminate()
		err = unsent(req, err)
		if _, long := errors.AsType[*tooLongError](err); long {
			return err
		}
		return fmt.Errorf("%w: %w", errNoConnection, err)
	}
	s.tx, s.seq = tx, req.CSeq().SeqNo
	return nil
}

// Ack acknowledges the answer. [trunk.answer] sends further ACKs for retransmissions.
func (s *session) Ack(context.Context) error {
	ack := s.inDialogRequest(sip.ACK, s.InviteRequest.CSeq().SeqNo)
	return unsent(ack, s.trunk.client.WriteRequest(ack))
}

// Do sends a request within the dialog, answers challenges, and returns the final
// response.
func (s *session) Do(ctx context.Context, method sip.RequestMethod, headers ...sip.Header) (*sip.Response, error) {
	req := s.inDialogRequest(method, s.seq+1)
	for _, h := range headers {
		req.AppendHeader(h)
	}
	res, last, err := s.trunk.do(ctx, req)
	s.seq = last.CSeq().SeqNo
	return res, err
}

// inDialogRequest returns a new request within the dialog (RFC 3261 §12.2.1.1).
func (s *session) inDialogRequest(method sip.RequestMethod, seq uint32) *sip.Request {
	target := s.InviteRequest.Recipient.Clone()
	contact := s.InviteResponse.Contact()
	if contact != nil {
		target = contact.Address.Clone()
	}
	req := sip.NewRequest(method, *target)
	req.SetTransport(strings.ToUpper(s.trunk.cfg.Transport))
	s.InviteRequest.Laddr.Copy(&req.Laddr)
	routes := s.routes()
	switch {
	case len(routes) > 0:
		req.SetDestination(hopOf(routes[0], req.Transport()))
		if !isLoose(routes[0]) {
			req.Recipient = *routes[0].Clone()
			routes = append(routes[1:], *target)
		}
	case contact == nil:
		req.SetDestination(s.InviteRequest.Destination())
	}
	for _, r := range routes {
		req.AppendHeader(&sip.RouteHeader{Address: r})
	}
	req.AppendHeader(sip.HeaderClone(s.InviteRequest.From()))
	if to := s.InviteResponse.To(); to != nil {
		req.AppendHeader(sip.HeaderClone(to))
	}
	req.AppendHeader(sip.HeaderClone(s.InviteRequest.CallID()))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	req.AppendHeader(sip.HeaderClone(&s.trunk.contact))
	return req
}

// routes returns the route set: the Record-Route headers of the answer in reverse order.
func (s *session) routes() []sip.Uri {
	var routes []sip.Uri
	for _, h := range slices.Backward(s.InviteResponse.GetHeaders("Record-Route")) {
		if r, ok := h.(*sip.RecordRouteHeader); ok {
			routes = append(routes, *r.Address.Clone())
		}
	}
	return routes
}

// isLoose reports whether a proxy routes by the Route header (RFC 3261 §19.1.1).
func isLoose(uri sip.Uri) bool {
	return slices.ContainsFunc(uri.UriParams, func(p sip.HeaderKV) bool { return strings.EqualFold(strings.TrimSpace(p.K), "lr") })
}

// hopOf returns the host:port of a URI.
func hopOf(uri sip.Uri, transport string) string {
	port := uri.Port
	if port == 0 {
		port = sip.DefaultPort(transport)
	}
	return net.JoinHostPort(strings.Trim(uri.Host, "[]"), strconv.Itoa(port))
}

// errNoSession means that a 422 has no usable Min-SE.
var errNoSession = errors.New("no Min-SE that can be met")

// longerTimer returns the INVITE that answers 422 Session Interval Too Small: a copy
// with the interval that the response requires (RFC 4028 §7.3).
func longerTimer(invite *sip.Request, res *sip.Response) (*sip.Request, error) {
	least := seconds(res, "Min-SE")
	if least == 0 {
		return nil, errNoSession
	}
	next := nextRequest(invite)
	for _, name := range []string{"Session-Expires", "Min-SE"} {
		next.RemoveHeader(name)
		next.AppendHeader(sip.NewHeader(name, strconv.Itoa(least)))
	}
	return next, nil
}

// seconds returns the number of seconds at the start of a header, such as 120 for
// "Retry-After: 120 (maintenance);duration=60"; 0 without a header or number.
func seconds(res *sip.Response, name string) int {
	h := res.GetHeader(name)
	if h == nil {
		return 0
	}
	text := strings.TrimSpace(h.Value())
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
