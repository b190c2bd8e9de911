package smsc

import (
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// record is an accepted message, for query_sm and cancel_sm. Server.records is a ring
// of the last maxRecords messages; see place for the index.
type record struct {
	n           uint64
	account     *account
	service     string
	source      pdu.Address
	destination pdu.Address
	due         time.Time        // time of the final state
	final       pdu.MessageState // state from due on
	waits       *pending         // pending receipt, or nil
}

// esmDeliveryAck is the esm_class of an SME delivery acknowledgement (§5.2.12).
const esmDeliveryAck = 0x08

// plan is the outcome of a message.
type plan struct {
	due       time.Time
	final     pdu.MessageState
	receipts  int   // number of receipts to send
	wanted    bool  // a receipt was requested
	esmClass  uint8 // esm_class of the receipts
	elsewhere bool  // send receipts over another address than the message
}

// plan validates a message and decides its outcome. A status other than ESME_ROK
// refuses it.
func (s *Server) plan(from *Session, m *pdu.Message, now time.Time) (plan, pdu.Status) {
	to := m.Destination.Addr
	if s.overRate(from.owner(), now) {
		return plan{}, pdu.StatusThrottled
	}
	if status, ok := s.refusal(m); ok {
		return plan{}, status
	}
	if to == "" {
		return plan{}, pdu.StatusInvalidDestination
	}
	p := plan{due: now, final: pdu.StateDelivered}
	if m.ScheduleDeliveryTime != "" {
		at, err := parseWhen(m.ScheduleDeliveryTime, now)
		if err != nil {
			return plan{}, statusInvalidSchedule
		}
		p.due = at
		if at.Before(now) {
			p.due = now
		}
	}
	p.due = p.due.Add(s.wait(faultReceiptDelay) + s.wait(faultReceiptShuffle))
	p.final = s.outcome(to)
	if m.ValidityPeriod != "" {
		until, err := parseWhen(m.ValidityPeriod, now)
		if err != nil {
			return plan{}, statusInvalidExpiry
		}
		if until.Before(p.due) {
			p.due, p.final = until, pdu.StateExpired
		}
	}
	return s.planReceipt(p, m)
}

func (s *Server) planReceipt(p plan, m *pdu.Message) (plan, pdu.Status) {
	switch m.RegisteredDelivery & 0x03 {
	case pdu.ReceiptNever:
		return p, pdu.StatusOK
	case pdu.ReceiptAlways, pdu.ReceiptOnFailure:
	default:
		return plan{}, statusInvalidReceiptFlag
	}
	if s.config.Receipts == ReceiptsNone {
		return p, pdu.StatusOK
	}
	p.wanted, p.receipts, p.esmClass = true, 1, pdu.ESMReceipt
	if _, ok := s.happens(faultReceiptAsMessage, m.Destination.Addr); ok {
		p.esmClass = 0
	}
	if _, ok := s.happens(faultReceiptAsAck, m.Destination.Addr); ok {
		p.esmClass = esmDeliveryAck
	}
	_, p.elsewhere = s.happens(faultReceiptElsewhere, m.Destination.Addr)
	if _, ok := s.happens(faultReceiptDuplicate, m.Destination.Addr); ok {
		p.receipts = 2
	}
	if _, ok := s.happens(faultReceiptLose, m.Destination.Addr); ok {
		p.receipts = 0
	}
	if !s.reserve() {
		return plan{}, pdu.StatusQueueFull
	}
	return p, pdu.StatusOK
}

// outcome returns the final state of a message to a destination.
func (s *Server) outcome(to string) pdu.MessageState {
	if _, ok := s.happens(faultRejected, to); ok {
		return pdu.StateRejected
	}
	if _, ok := s.happens(faultUndeliverable, to); ok {
		return pdu.StateUndeliverable
	}
	if _, ok := s.happens(faultExpired, to); ok {
		return pdu.StateExpired
	}
	return pdu.StateDelivered
}

// record assigns the next number to an accepted message and stores its record.
func (s *Server) record(from *Session, m *pdu.Message, p plan, now time.Time) (n uint64, waits *pending) {
	a := from.owner()
	if p.wanted {
		waits = &pending{
			account: a, source: m.Source, destination: m.Destination, submitted: now, due: p.due, final: p.final,
			copies: p.receipts, onlyFailure: m.RegisteredDelivery&0x03 == pdu.ReceiptOnFailure, text: firstWords(m),
			esmClass: p.esmClass,
		}
		if p.elsewhere {
			waits.avoid = from.localAddr()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n = s.messageN
	s.messageN++
	r := record{n, a, m.ServiceType, m.Source, m.Destination, p.due, p.final, waits}
	if waits != nil {
		waits.n = n
	}
	if len(s.records) < maxRecords {
		s.records = append(s.records, r)
	} else {
		s.records[s.place(n)] = r
	}
	return n, waits
}

// place returns the index of message n in s.records.
func (s *Server) place(n uint64) uint64 { return (n - s.firstN) % maxRecords }

// find returns the record of an id; nil if the account has no such message. The caller
// holds s.mu.
func (s *Server) find(a *account, id string) *record {
	n, ok := s.config.IDs.parse(id, s.config.Seed)
	if !ok || n < s.firstN || n >= s.messageN {
		return nil
	}
	if r := &s.records[s.place(n)]; r.n == n && r.account.systemID == a.systemID {
		return r
	}
	return nil
}

// query answers query_sm (§4.8).
func (s *Server) query(a *account, q *pdu.QuerySM) (*pdu.QuerySMResp, pdu.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(a, q.MessageID)
	switch {
	case r == nil:
		return &pdu.QuerySMResp{}, pdu.StatusInvalidMessageID
	case r.source.Addr != q.Source.Addr:
		return &pdu.QuerySMResp{}, pdu.StatusQueryFailed
	case r.due.After(time.Now()):
		return &pdu.QuerySMResp{MessageID: q.MessageID, MessageState: pdu.StateEnroute}, pdu.StatusOK
	}
	resp := &pdu.QuerySMResp{
		MessageID: q.MessageID, FinalDate: formatWhen(r.due), MessageState: r.final,
		ErrorCode: uint8(networkError(r.final)),
	}
	return resp, pdu.StatusOK
}

// cancel answers cancel_sm for the message with the id, or without an id for all
// messages between two addresses (§4.9.1). The caller finalizes the ended messages.
func (s *Server) cancel(a *account, c *pdu.CancelSM) (status pdu.Status, ended []*pending) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	status = pdu.StatusCancelFailed
	cancelOne := func(r *record) {
		if !r.due.After(now) || r.source.Addr != c.Source.Addr {
			return
		}
		r.due, r.final, status = now, pdu.StateDeleted, pdu.StatusOK
		if r.waits != nil {
			r.waits.due, r.waits.final = now, pdu.StateDeleted
			ended = append(ended, r.waits)
		}
	}
	if c.MessageID != "" {
		r := s.find(a, c.MessageID)
		if r == nil {
			return pdu.StatusInvalidMessageID, nil
		}
		cancelOne(r)
	} else {
		for i := range s.records {
			r := &s.records[i]
			if r.account.systemID == a.systemID && r.destination.Addr == c.Destination.Addr && (c.ServiceType == "" || c.ServiceType == r.service) {
				cancelOne(r)
			}
		}
	}
	return status, ended
}
