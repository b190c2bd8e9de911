package smpp

import (
	"context"
	"errors"
	"fmt"
	"net"

	"countersign/internal/deliver/smpp/pdu"
)

const (
	// bindSequence is the sequence number of the bind request, the first of a
	// session.
	bindSequence = 1
	// maxEarly limits the messages kept until the bind is accepted. Further ones are
	// answered with ESME_RX_T_APPN, so that the SMSC resends them.
	maxEarly = 256
)

// bind sends the bind request on a new connection and waits for its response.
// Other PDUs may arrive first, since the SMSC may still serve an older session of
// the same system_id. enquire_link and unbind are answered. Messages wait until the
// bind is accepted. Unknown commands get generic_nack, and responses to other
// sequence numbers count as stray. On error the connection is closed.
func (b *bind) bind(ctx context.Context, conn net.Conn, address string) (*session, error) {
	cfg := &b.carrier.cfg
	s := newSession(conn, pdu.NewReader(conn), cfg.Window)
	s.timeout, s.enquire = cfg.ResponseTimeout, cfg.EnquireInterval
	s.address, s.stray = address, b.carrier.metrics.stray.Inc
	s.handle = func(p pdu.PDU) answer { return b.carrier.handle(address, p) }
	s.late = func(tag any, p pdu.PDU) { b.carrier.late(s, tag, p) }
	s.start()
	p, err := s.request(ctx, &pdu.Bind{
		Kind: b.kind, SystemID: cfg.SystemID, Password: cfg.Password, SystemType: cfg.SystemType,
		InterfaceVersion: pdu.Version34, AddressRange: cfg.AddressRange,
	}, nil, cfg.BindTimeout)
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, errLost), errors.Is(err, errNotWritten):
		err = explained(s.reason()) // names the cause: EOF, a reset, a TLS alert
	case err != nil:
	case p.Status != pdu.StatusOK:
		err = &refusal{StatusError{Status: p.Status}}
	case p.Body.Command() != b.kind.Response():
		err = fmt.Errorf("answered with %s", p.Body.Command())
	}
	if err != nil {
		s.fail(err)
		s.loops.Wait()
		return nil, err
	}
	s.opened()
	return s, nil
}

// opened starts the keep-alive of a bound session and handles the messages that
// arrived earlier.
func (s *session) opened() {
	s.mu.Lock()
	s.bound = true
	early := s.early
	s.early = nil
	s.mu.Unlock()
	s.loops.Go(s.keepLoop)
	for _, p := range early {
		s.act(p)
	}
}

// defers keeps a message until the session is bound. It returns false if the session
// is bound already.
func (s *session) defers(p pdu.PDU) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bound:
		return false
	case len(s.early) < maxEarly:
		s.early = append(s.early, p)
	default:
		s.replyLocked(p.Sequence, pdu.StatusTemporaryAppError, responseTo(p.Body.Command()))
	}
	return true
}

// goAway handles an unbind. Before the bind is accepted, the unbind belongs to an
// older session: it is answered, and the wait for the bind response continues.
func (s *session) goAway(sequence uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bound {
		s.replyLocked(sequence, pdu.StatusOK, &pdu.UnbindResp{})
		return
	}
	s.goodbye = max(sequence, 1)
	s.leave()
}

// answers returns the sequence number of the request that p answers. The first
// bind response answers the bind, even with a wrong number. A generic_nack has
// number 0 if the SMSC could not decode the request (§4.3.1). It answers the bind
// until it is accepted, and later a keep-alive that is the only pending request.
func (s *session) answers(p pdu.PDU) uint32 {
	numberless := p.Body.Command() == pdu.CommandGenericNack && p.Sequence == 0
	_, bindResp := p.Body.(*pdu.BindResp)
	if !numberless && !bindResp {
		return p.Sequence
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.bound && s.pending[bindSequence] != nil:
		return bindSequence
	case numberless && s.enquired && len(s.pending) == 1:
		for seq, c := range s.pending {
			if c.tag == nil { // no submission
				return seq
			}
		}
	}
	return p.Sequence
}
