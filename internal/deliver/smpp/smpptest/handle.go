package smpptest

import (
	"cmp"
	"slices"

	"countersign/internal/deliver/smpp/pdu"
)

// account is what the sessions of a system_id have in common. All of it is guarded
// by SMSC.mu.
type account struct {
	systemID string
	sessions []*Session  // bound
	outbox   []*delivery // not sent yet, the oldest first
	limiter  limiter
}

// handle acts on a PDU. It reports whether the session goes on.
func (s *Session) handle(p pdu.PDU) bool {
	if hook := s.smsc.config.OnPDU; hook != nil {
		hook(s, p)
	}
	if _, ok := s.smsc.happens(faultHalfOpen, ""); ok {
		return true
	}
	command := p.Body.Command()
	if command.IsResponse() {
		s.smsc.answered(s, p)
		return command != pdu.CommandUnbind.Response()
	}
	if status := s.allows(command); status != pdu.StatusOK {
		s.refuse(p, status)
		return true
	}
	switch body := p.Body.(type) {
	case *pdu.SubmitSM:
		return s.submit(p, &body.Message)
	case *pdu.DataSM:
		m := body.Message()
		return s.submit(p, &m)
	case *pdu.QuerySM:
		resp, status := s.smsc.query(s.owner(), body)
		s.respond(pdu.PDU{Status: status, Sequence: p.Sequence, Body: resp}, nil)
	case *pdu.CancelSM:
		status, ended := s.smsc.cancel(s.owner(), body)
		s.respond(pdu.PDU{Status: status, Sequence: p.Sequence, Body: &pdu.CancelSMResp{}}, nil)
		for _, m := range ended {
			s.smsc.settle(m)
		}
	case *pdu.EnquireLink:
		if _, ok := s.smsc.happens(faultIgnoreEnquireLink, ""); !ok {
			s.respond(pdu.PDU{Sequence: p.Sequence, Body: &pdu.EnquireLinkResp{}}, nil)
		}
	case *pdu.Bind:
		s.bind(p.Sequence, body)
	case *pdu.Unbind:
		s.respond(pdu.PDU{Sequence: p.Sequence, Body: &pdu.UnbindResp{}}, nil)
		return false
	}
	return true
}

// allows tells whether the session is in a state for a request (§2.2, §2.3).
func (s *Session) allows(c pdu.Command) pdu.Status {
	kind := s.Kind()
	switch c {
	case pdu.CommandBindReceiver, pdu.CommandBindTransmitter, pdu.CommandBindTransceiver:
		if kind != 0 {
			return pdu.StatusAlreadyBound
		}
	case pdu.CommandSubmitSM, pdu.CommandDataSM, pdu.CommandQuerySM, pdu.CommandCancelSM:
		if kind != pdu.CommandBindTransmitter && kind != pdu.CommandBindTransceiver {
			return pdu.StatusInvalidBindStatus
		}
	case pdu.CommandEnquireLink, pdu.CommandUnbind:
	default: // what only an SMSC sends
		return pdu.StatusInvalidCommandID
	}
	return pdu.StatusOK
}

// refuse answers a request with an error.
func (s *Session) refuse(p pdu.PDU, status pdu.Status) {
	body := responseTo(p.Body.Command())
	if body == nil || status == pdu.StatusInvalidCommandID {
		body = &pdu.GenericNack{}
	}
	s.respond(pdu.PDU{Status: status, Sequence: p.Sequence, Body: body}, nil)
}

// responseTo is the body of the response to a request that an ESME may make; nil
// for any other.
func responseTo(c pdu.Command) pdu.Body {
	switch c {
	case pdu.CommandBindReceiver, pdu.CommandBindTransmitter, pdu.CommandBindTransceiver:
		return &pdu.BindResp{Kind: c, SystemID: systemID}
	case pdu.CommandSubmitSM:
		return &pdu.SubmitSMResp{}
	case pdu.CommandDataSM:
		return &pdu.DataSMResp{}
	case pdu.CommandQuerySM:
		return &pdu.QuerySMResp{}
	case pdu.CommandCancelSM:
		return &pdu.CancelSMResp{}
	case pdu.CommandEnquireLink:
		return &pdu.EnquireLinkResp{}
	case pdu.CommandUnbind:
		return &pdu.UnbindResp{}
	}
	return nil
}

func (s *Session) bind(sequence uint32, b *pdu.Bind) {
	status := s.smsc.mayBind(b)
	resp := &pdu.BindResp{Kind: b.Kind, SystemID: systemID}
	if status == pdu.StatusOK && b.InterfaceVersion >= pdu.Version34 {
		resp.TLVs = pdu.TLVs{pdu.Uint8(pdu.TagSCInterfaceVersion, pdu.Version34)}
	}
	var a *account
	if status == pdu.StatusOK {
		if a = s.smsc.join(s, b); a == nil {
			status = pdu.StatusBindFailed
		}
	}
	// The response is queued before any receipt, which pump may send.
	s.respond(pdu.PDU{Status: status, Sequence: sequence, Body: resp}, nil)
	if a == nil {
		s.smsc.counters.bindsRefused.Add(1)
		return
	}
	s.smsc.counters.binds.Add(1)
	s.mu.Lock()
	s.kind = b.Kind
	s.mu.Unlock()
	s.smsc.pump(a)
}

func (s *SMSC) mayBind(b *pdu.Bind) pdu.Status {
	if r, ok := s.happens(faultRefuseBind, ""); ok {
		return r.status
	}
	switch {
	case s.config.SystemID != "" && b.SystemID != s.config.SystemID:
		return pdu.StatusInvalidSystemID
	case s.config.Password != "" && b.Password != s.config.Password:
		return pdu.StatusInvalidPassword
	}
	return pdu.StatusOK
}

// join adds a session to its account; nil if there are too many.
func (s *SMSC) join(session *Session, b *pdu.Bind) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[b.SystemID]
	if a == nil {
		if len(s.accounts) >= maxAccounts {
			return nil
		}
		a = &account{systemID: b.SystemID}
		s.accounts[b.SystemID] = a
	}
	a.sessions = append(a.sessions, session)
	session.mu.Lock()
	session.account = a
	session.mu.Unlock()
	return a
}

// forget drops a session whose connection is closed.
func (s *SMSC) forget(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
}

// end takes a session that reads no more out of its account. What it has not
// answered goes to the others, or to the next.
func (s *SMSC) end(session *Session) {
	session.finish()
	a := session.owner()
	s.mu.Lock()
	if a == nil {
		s.mu.Unlock()
		return
	}
	a.sessions = slices.DeleteFunc(a.sessions, func(other *Session) bool { return other == session })
	var again []*delivery
	for _, d := range session.inFlight {
		again = append(again, d)
	}
	slices.SortFunc(again, func(x, y *delivery) int { return cmp.Compare(x.n, y.n) })
	session.inFlight = nil
	a.outbox = append(again, a.outbox...)
	if len(a.sessions) == 0 && len(a.outbox) == 0 {
		delete(s.accounts, a.systemID)
	}
	s.mu.Unlock()
	s.pump(a)
}
