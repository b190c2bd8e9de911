package smsc

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// Receipts is the form of delivery receipts.
type Receipts uint8

const receiptForms = 4

// Receipt forms. In the optional parameters, receipted_message_id is the id of the
// response (§5.3.2.12), independent of the dialect of the text.
const (
	ReceiptsBoth Receipts = iota // text and optional parameters
	ReceiptsText                 // text of Appendix B only
	ReceiptsTLV                  // optional parameters only
	ReceiptsNone                 // no receipts, even if requested
)

//nolint:gochecknoglobals // a table
var receiptNames = [receiptForms]string{"both", "text", "tlv", "none"}

// String returns the name that [ParseReceipts] accepts.
func (r Receipts) String() string { return receiptNames[r%receiptForms] }

// ParseReceipts parses the name of a form.
func ParseReceipts(name string) (Receipts, error) {
	for i, n := range receiptNames {
		if n == name {
			return Receipts(i), nil
		}
	}
	return 0, fmt.Errorf("unknown receipts %q; use one of %s", name, strings.Join(receiptNames[:], ", "))
}

// pending is a message with an unsent requested receipt. It holds a slot of
// Server.reserve. After record, Server.mu protects due, final, finalized and timed.
type pending struct {
	account     *account
	n           uint64 // message number
	source      pdu.Address
	destination pdu.Address
	submitted   time.Time
	due         time.Time
	final       pdu.MessageState
	copies      int // number of receipts to send
	onlyFailure bool
	text        string
	esmClass    uint8  // esm_class of the receipt; values other than ESMReceipt make it text only
	avoid       string // local address to avoid while another is bound; "" for none
	finalized   bool
	timed       bool // a timer releases the slot, even if p is cancelled earlier
}

// delivery is a deliver_sm that the ESME has not accepted.
type delivery struct {
	n       uint64 // number of the message of a receipt; 0 for other messages
	message pdu.Message
	avoid   string // see pending
}

// release schedules the receipts of messages. The responses to the messages were
// written or cannot be.
func (s *Server) release(list []*pending) {
	for _, p := range list {
		if p == nil {
			continue
		}
		s.mu.Lock()
		due := p.due
		p.timed = due.After(time.Now()) && !p.finalized
		timed := p.timed
		s.mu.Unlock()
		if !timed {
			s.finalize(p)
			continue
		}
		s.timers.add(due, func() {
			s.finalize(p)
			s.waiting.Add(-1)
		})
	}
}

// finalize ends a message and queues its receipts. It is idempotent.
func (s *Server) finalize(p *pending) {
	s.mu.Lock()
	if p.finalized {
		s.mu.Unlock()
		return
	}
	p.finalized = true
	if !p.timed {
		s.waiting.Add(-1)
	}
	if r := &s.records[s.place(p.n)]; r.n == p.n {
		r.waits = nil
	}
	if p.onlyFailure && p.final == pdu.StateDelivered {
		p.copies = 0
	}
	a := p.account
	for range p.copies {
		a = s.keep(a, &delivery{p.n, s.receipt(p), p.avoid})
	}
	s.mu.Unlock()
	s.pump(a)
}

// keep appends to the outbox of an account, and drops the oldest entry above maxKept.
// It returns the current account with the same name, which differs from a if all
// sessions of a ended in the meantime. The caller holds s.mu.
func (s *Server) keep(a *account, d *delivery) *account {
	if now := s.accounts[a.systemID]; now != nil {
		a = now
	}
	s.accounts[a.systemID] = a
	if len(a.outbox) >= maxKept {
		a.outbox = a.outbox[1:]
		s.counters.receiptsDropped.Add(1)
	}
	a.outbox = append(a.outbox, d)
	return a
}

// pump sends queued deliver_sm while a session of the account can take them.
func (s *Server) pump(a *account) {
	if _, ok := s.happens(faultHalfOpen, ""); ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(a.outbox) > 0 {
		d := a.outbox[0]
		session := a.receiver(d.avoid)
		if session == nil {
			return
		}
		a.outbox[0] = nil
		a.outbox = a.outbox[1:]
		sequence := session.nextSequence()
		session.inFlight[sequence] = d
		request := pdu.PDU{Sequence: sequence, Body: &pdu.DeliverSM{Message: d.message}}
		if session.queue(request, nil, true) {
			s.counters.receipts.Add(1)
		}
	}
}

// receiver returns the session with the fewest deliver_sm in flight, preferably on
// another local address than avoid; nil if no session can take a deliver_sm. The
// caller holds Server.mu.
func (a *account) receiver(avoid string) (best *Session) {
	var other *Session
	for _, session := range a.sessions {
		if len(session.inFlight) >= maxInFlight || !session.receives() {
			continue
		}
		of := &best
		if avoid != "" && session.localAddr() == avoid {
			of = &other
		}
		if *of == nil || len(session.inFlight) < len((*of).inFlight) {
			*of = session
		}
	}
	return cmp.Or(best, other)
}

func (s *Session) localAddr() string { return s.conn.LocalAddr().String() }

// receives reports whether the session can take a deliver_sm now.
func (s *Session) receives() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.kind == pdu.CommandBindReceiver || s.kind == pdu.CommandBindTransceiver) &&
		!s.closed && !s.ending && len(s.out.octets) <= maxOut
}

// answered handles the response to a request of the SMSC.
func (s *Server) answered(session *Session, p pdu.PDU) {
	s.mu.Lock()
	d, ok := session.inFlight[p.Sequence]
	if !ok {
		s.mu.Unlock()
		return
	}
	delete(session.inFlight, p.Sequence)
	a := session.owner()
	switch p.Status {
	case pdu.StatusOK:
		s.counters.receiptsTaken.Add(1)
	case pdu.StatusTemporaryAppError, pdu.StatusQueueFull, pdu.StatusThrottled, pdu.StatusSystemError:
		s.counters.receiptsRefused.Add(1)
		if !s.reserve() {
			s.counters.receiptsDropped.Add(1)
			break
		}
		s.timers.add(time.Now().Add(s.config.RetryReceiptAfter), func() {
			s.waiting.Add(-1)
			s.requeue(a, d)
		})
	default: // a retry would not help
		s.counters.receiptsRefused.Add(1)
		s.counters.receiptsDropped.Add(1)
	}
	s.mu.Unlock()
	s.pump(a)
}

// requeue queues a deliver_sm again after the ESME refused it.
func (s *Server) requeue(a *account, d *delivery) {
	s.mu.Lock()
	a = s.keep(a, d)
	s.mu.Unlock()
	s.pump(a)
}

// ErrNoReceiver indicates that no session can take a deliver_sm.
var ErrNoReceiver = errors.New("no receiver is bound")

// Deliver sends an arbitrary deliver_sm to a receiver or transceiver of systemID; "" for
// any. It is resent like a receipt. Without a session it returns ErrNoReceiver.
func (s *Server) Deliver(systemID string, m pdu.Message) error {
	if _, err := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: m}}); err != nil {
		return err
	}
	s.mu.Lock()
	var to *account
	for _, a := range s.accounts {
		if (systemID == "" || systemID == a.systemID) && a.receiver("") != nil {
			to = a
		}
	}
	if to == nil {
		s.mu.Unlock()
		return ErrNoReceiver
	}
	to = s.keep(to, &delivery{message: m})
	s.mu.Unlock()
	s.pump(to)
	return nil
}

// receipt returns the receipt of a message in its final state.
func (s *Server) receipt(p *pending) pdu.Message {
	m := pdu.Message{Source: p.destination, Destination: p.source, ESMClass: p.esmClass}
	if s.config.Receipts != ReceiptsTLV || p.esmClass != pdu.ESMReceipt {
		m.ShortMessage = s.receiptText(p)
	}
	if s.config.Receipts != ReceiptsText && p.esmClass == pdu.ESMReceipt {
		code := networkError(p.final)
		m.TLVs = pdu.TLVs{
			pdu.Text(pdu.TagReceiptedMessageID, s.config.IDs.inResponse(p.n, s.config.Seed)),
			pdu.Uint8(pdu.TagMessageState, uint8(p.final)),
			{Tag: pdu.TagNetworkErrorCode, Value: []byte{networkGSM, byte(code >> 8), byte(code)}},
		}
	}
	return m
}

// receiptText returns the text of a receipt (Appendix B).
func (s *Server) receiptText(p *pending) []byte {
	const minutes = "0601021504"
	delivered := "000"
	if p.final == pdu.StateDelivered {
		delivered = "001"
	}
	b := make([]byte, 0, 160)
	b = append(append(b, "id:"...), s.config.IDs.inReceipt(p.n, s.config.Seed)...)
	b = append(append(b, " sub:001 dlvrd:"...), delivered...)
	b = p.submitted.UTC().AppendFormat(append(b, " submit date:"...), minutes)
	b = p.due.UTC().AppendFormat(append(b, " done date:"...), minutes)
	b = append(append(b, " stat:"...), stateText(p.final)...)
	b = fmt.Appendf(b, " err:%03d Text:", networkError(p.final))
	return append(b, p.text...)
}

const networkGSM = 3 // network_error_code, §5.3.2.31

// networkError returns the GSM MAP error for a final state; 0 for no error.
func networkError(state pdu.MessageState) uint16 {
	switch state {
	case pdu.StateUndeliverable:
		return 1 // unknown subscriber
	case pdu.StateExpired:
		return 27 // absent subscriber
	case pdu.StateRejected:
		return 13 // call barred
	}
	return 0
}

// stateText returns the seven characters of a state (Appendix B).
func stateText(state pdu.MessageState) string {
	switch state {
	case pdu.StateDelivered:
		return "DELIVRD"
	case pdu.StateExpired:
		return "EXPIRED"
	case pdu.StateDeleted:
		return "DELETED"
	case pdu.StateUndeliverable:
		return "UNDELIV"
	case pdu.StateRejected:
		return "REJECTD"
	}
	return "UNKNOWN"
}
