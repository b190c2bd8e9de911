package smsc

import (
	"cmp"
	"slices"

	"countersign/internal/deliver/smpp/pdu"
)

// account is the common state of the sessions of a system_id, guarded by Server.mu.
type account struct {
	systemID string
	sessions []*Session  // bound sessions
	outbox   []*delivery // unsent, oldest first
	limiter  limiter
}

// handle handles a PDU. It returns false if the session must end.
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
		return command != pdu.CommandUnbind.Response() || p.Sequence == s.farewell
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
			s.smsc.finalize(m)
		}
	case *pdu.EnquireLink:
		s.answerEnquireLink(p.Sequence)
	case *pdu.Bind:
		s.bind(p.Sequence, body)
	case *pdu.Unbind:
		s.respond(pdu.PDU{Sequence: p.Sequence, Body: &pdu.UnbindResp{}}, nil)
		return false
	}
	return true
}

// allows returns ESME_ROK if the request is allowed in the state of the session (§2.2,
// §2.3), otherwise the status of the refusal.
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
	default: // requests sent only by an SMSC
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

// responseTo returns an empty body of the response to a request of an ESME; nil for
// other commands.
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
	_, early := s.smsc.happens(faultEarlyPDUs, "")
	if early {
		s.sendEarly()
	}
	if a == nil {
		s.respond(pdu.PDU{Status: status, Sequence: sequence, Body: resp}, nil)
		s.smsc.counters.bindsRefused.Add(1)
		return
	}
	s.smsc.counters.binds.Add(1)
	if !early { // before pump, which may send receipts
		s.respond(pdu.PDU{Sequence: sequence, Body: resp}, nil)
	}
	s.mu.Lock()
	s.kind = b.Kind
	s.mu.Unlock()
	s.smsc.pump(a)
	if early {
		s.respond(pdu.PDU{Sequence: sequence, Body: resp}, nil)
	}
}

// sendEarly sends PDUs that may precede the response to a bind: requests for an older
// session of the ESME, an unknown command, and responses without a request.
func (s *Session) sendEarly() {
	s.request(&pdu.EnquireLink{})
	s.request(&pdu.AlertNotification{})
	s.smsc.mu.Lock()
	unknown := s.nextSequence()
	s.farewell = s.nextSequence()
	s.smsc.mu.Unlock()
	s.queueOctets([]byte{0, 0, 0, 16, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, byte(unknown)}, nil)
	s.queue(pdu.PDU{Sequence: s.farewell, Body: &pdu.Unbind{}}, nil, true)
	const nothing = 1_000_000 // a sequence number not used by the ESME
	s.queue(pdu.PDU{Sequence: nothing, Body: &pdu.EnquireLinkResp{}}, nil, true)
	s.queue(pdu.PDU{Sequence: nothing, Status: pdu.StatusInvalidCommandID, Body: &pdu.GenericNack{}}, nil, true)
}

func (s *Session) answerEnquireLink(sequence uint32) {
	if _, ok := s.smsc.happens(faultIgnoreEnquireLink, ""); ok {
		return
	}
	p := pdu.PDU{Sequence: sequence, Body: &pdu.EnquireLinkResp{}}
	if _, ok := s.smsc.happens(faultEnquireNack, ""); ok {
		p.Status, p.Body = pdu.StatusInvalidCommandID, &pdu.GenericNack{}
	} else if r, ok := s.smsc.happens(faultEnquireError, ""); ok {
		p.Status = r.status
	}
	s.respond(p, nil)
}

func (s *Server) mayBind(b *pdu.Bind) pdu.Status {
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

// join adds a session to its account. It returns nil if a new account would exceed
// maxAccounts.
func (s *Server) join(session *Session, b *pdu.Bind) *account {
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

// forget removes a session after its connection was closed.
func (s *Server) forget(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
}

// end removes a session that has stopped reading from its account. Its unanswered
// deliver_sm are queued again for other sessions.
func (s *Server) end(session *Session) {
	session.finish()
	a := session.owner()
	s.mu.Lock()
	if a == nil {
		s.mu.Unlock()
		return
	}
	a.sessions = slices.DeleteFunc(a.sessions, func(other *Session) bool { return other == session })
	var unanswered []*delivery
	for _, d := range session.inFlight {
		unanswered = append(unanswered, d)
	}
	slices.SortFunc(unanswered, func(x, y *delivery) int { return cmp.Compare(x.n, y.n) })
	session.inFlight = nil
	a.outbox = append(unanswered, a.outbox...)
	if len(a.sessions) == 0 && len(a.outbox) == 0 {
		delete(s.accounts, a.systemID)
	}
	s.mu.Unlock()
	s.pump(a)
}
