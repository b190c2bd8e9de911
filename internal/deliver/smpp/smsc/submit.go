package smsc

import (
	"encoding/binary"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// submit accepts or refuses a message. It returns false if the session must end.
func (s *Session) submit(p pdu.PDU, m *pdu.Message) bool {
	s.smsc.counters.submits.Add(1)
	to := m.Destination.Addr
	if _, ok := s.smsc.happens(faultDisconnectBefore, to); ok {
		return false
	}
	if s.unusable(to) {
		s.smsc.counters.responses.Add(1)
		s.refuse(p, pdu.StatusInvalidBindStatus)
		return true
	}
	if r, ok := s.smsc.happens(faultNack, to); ok {
		s.smsc.counters.responses.Add(1)
		s.respond(pdu.PDU{Status: r.status, Sequence: p.Sequence, Body: &pdu.GenericNack{}}, nil)
		return true
	}
	now := time.Now()
	plan, status := s.smsc.plan(s, m, now)
	if status != pdu.StatusOK {
		s.smsc.counters.responses.Add(1)
		s.refuse(p, status)
		return true
	}
	n, waits := s.smsc.record(s, m, plan, now)
	id := s.smsc.config.IDs.inResponse(n, s.smsc.config.Seed)
	s.smsc.counters.accepted.Add(1)
	if s.smsc.shows() {
		s.smsc.show(s, id, m, now)
	}
	resp := pdu.PDU{Sequence: p.Sequence, Body: s.messageID(p.Body.Command(), id)}
	if !s.smsc.faults.Load().some {
		s.smsc.counters.responses.Add(1)
		s.respond(resp, waits)
		return true
	}
	return s.respondBadly(resp, waits, to)
}

// messageID returns the response to an accepted message. To save allocations it reuses
// s.response unless faults or AfterResponse may retain the value.
func (s *Session) messageID(c pdu.Command, id string) pdu.Body {
	if c == pdu.CommandDataSM {
		return &pdu.DataSMResp{MessageID: pdu.MessageID{MessageID: id}}
	}
	resp := &s.response
	if s.smsc.faults.Load().some || s.smsc.config.AfterResponse != nil {
		resp = &pdu.SubmitSMResp{}
	}
	resp.MessageID.MessageID = id
	return resp
}

// refusal applies the faults that refuse a message, each with a status.
func (s *Server) refusal(m *pdu.Message) (pdu.Status, bool) {
	f, to := s.faults.Load(), m.Destination.Addr
	if !f.some {
		return 0, false
	}
	for _, r := range f.rules[faultRequireTLV] {
		if _, ok := m.TLVs.Get(r.tag); !ok {
			return r.status, true
		}
	}
	for _, k := range []kind{faultThrottle, faultQueueFull, faultRefuse, faultUnknownStatus} {
		if r, ok := s.happens(k, to); ok {
			return r.status, true
		}
	}
	if status, ok := s.chance.scheduled(faultStatuses); ok && status != pdu.StatusOK {
		return status, true
	}
	return 0, false
}

// unusable applies lost-bind and reports whether the connection has lost its bind.
func (s *Session) unusable(to string) bool {
	if !s.lost {
		_, s.lost = s.smsc.happens(faultLostBind, to)
	}
	return s.lost
}

// overRate applies rate and reports whether the account exceeds its limit.
func (s *Server) overRate(a *account, now time.Time) bool {
	f := s.faults.Load()
	if !f.some || len(f.rules[faultRate]) == 0 {
		return false
	}
	limit := f.rules[faultRate][0].limit
	for _, r := range f.rules[faultRate] {
		limit = min(limit, r.limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !a.limiter.allow(now, limit)
}

// respondBadly answers an accepted message according to the faults. It returns false if
// the session must end.
func (s *Session) respondBadly(resp pdu.PDU, waits *pending, to string) bool {
	happens := func(k kind) bool { _, ok := s.smsc.happens(k, to); return ok }
	after := s.smsc.wait(faultDelay)
	if waits != nil && happens(faultReceiptFirst) {
		s.smsc.finalize(waits)
		waits, after = nil, max(after, receiptLead)
	}
	if happens(faultDisconnect) {
		s.finish() // first, so that the receipt uses another connection
		s.smsc.release([]*pending{waits})
		return false
	}
	if happens(faultLoseResponse) {
		s.smsc.release([]*pending{waits})
		return true
	}
	copies := 1
	if happens(faultDuplicateResponse) {
		copies = 2
	}
	if happens(faultWrongSequence) {
		resp.Sequence = (resp.Sequence+1_000_000)&0x7FFFFFFF | 1
	}
	malformed := happens(faultMalformed)
	send := func() {
		for range copies {
			s.smsc.counters.responses.Add(1)
			if malformed {
				s.queueOctets(s.smsc.spoil(resp), waits)
			} else {
				s.queue(resp, waits, after > 0)
			}
			waits = nil
		}
	}
	if after == 0 || !s.smsc.reserve() {
		send()
		return true
	}
	s.smsc.timers.add(time.Now().Add(after), func() {
		s.smsc.waiting.Add(-1)
		send()
		s.flush()
	})
	return true
}

// receiptLead is the delay of a response after its receipt for receipt-first, long
// enough even if they use different connections.
const receiptLead = 50 * time.Millisecond

// spoil returns the encoding of a PDU with a random defect.
func (s *Server) spoil(p pdu.PDU) []byte {
	b, err := pdu.Append(nil, p)
	if err != nil {
		b = make([]byte, 16)
	}
	switch s.chance.draw(4) {
	case 0: // shorter than its own header
		binary.BigEndian.PutUint32(b, 7)
	case 1: // longer than any real PDU
		binary.BigEndian.PutUint32(b, 0x7FFFFFFF)
	case 2: // unknown command, with the response bit
		binary.BigEndian.PutUint32(b[4:], 0x800000EE)
	case 3: // message_id of non-ASCII octets without a NUL
		for i := 16; i < len(b); i++ {
			b[i] = 0xF0 | byte(i)
		}
	}
	return b
}
