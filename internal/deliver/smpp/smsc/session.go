package smsc

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// Session is one connection of an ESME. One goroutine reads and handles PDUs, another
// writes. Its methods are safe for concurrent use.
type Session struct {
	smsc   *Server
	conn   net.Conn
	id     uint64
	reader *pdu.Reader

	// Used only by the reading goroutine.
	asked    bool   // an enquire_link of the SMSC is unanswered
	lost     bool   // lost-bind applies
	farewell uint32 // sequence number of the unbind sent by early-pdus; 0 without one
	limited  bool   // conn has a read deadline
	response pdu.SubmitSMResp

	// Guarded by smsc.mu.
	inFlight map[uint32]*delivery // unanswered receipts
	sequence uint32               // sequence number of the last request of the SMSC

	mu      sync.Mutex
	changed sync.Cond // signals changes of the fields below
	kind    pdu.Command
	account *account
	out     batch
	ready   bool // the writer should write out now
	ending  bool // out is the last batch
	closed  bool
}

// batch is the content of one write.
type batch struct {
	octets []byte
	marks  []mark     // ends of responses, for AfterResponse
	after  []*pending // messages with their response in octets
}

type mark struct {
	end      int
	response pdu.PDU
}

const (
	writeSize = 64 << 10  // a larger batch is written immediately
	maxOut    = 256 << 10 // while more octets are queued, the session does not read
)

func newSession(smsc *Server, conn net.Conn, id uint64) *Session {
	s := &Session{smsc: smsc, conn: conn, id: id, inFlight: map[uint32]*delivery{}}
	s.changed.L = &s.mu
	s.reader = pdu.NewReader(flushing{s})
	return s
}

// ID returns the number of the connection, starting at 1.
func (s *Session) ID() uint64 { return s.id }

// RemoteAddr returns the address of the ESME.
func (s *Session) RemoteAddr() string { return s.conn.RemoteAddr().String() }

// SystemID returns the system_id of the bind; "" before the bind.
func (s *Session) SystemID() string {
	if a := s.owner(); a != nil {
		return a.systemID
	}
	return ""
}

// Kind returns the command of the bind; 0 before the bind.
func (s *Session) Kind() pdu.Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kind
}

// bound reports whether the session is bound and not ending.
func (s *Session) bound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kind != 0 && !s.ending && !s.closed
}

// Close closes the connection without unbind. It does not wait.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	_ = s.abort()
}

// abort closes the TCP connection, even under TLS, without waiting for the peer.
func (s *Session) abort() error {
	if t, ok := s.conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn().Close()
	}
	return s.conn.Close()
}

func (s *Session) owner() *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account
}

// flushing is the connection of the reader. Before each Read it flushes the queued
// responses, so that they share one write and are not delayed.
type flushing struct{ s *Session }

func (f flushing) Read(b []byte) (int, error) {
	f.s.flush()
	limit := f.s.patience()
	if limit > 0 || f.s.limited {
		var deadline time.Time
		if limit > 0 {
			deadline = time.Now().Add(limit)
		}
		if err := f.s.conn.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
		f.s.limited = limit > 0
	}
	return f.s.conn.Read(b)
}

// patience returns the allowed idle time of the ESME; 0 for unlimited.
func (s *Session) patience() time.Duration {
	if s.Kind() == 0 {
		return bindTimeout
	}
	return s.smsc.config.EnquireLink
}

// read reads and handles PDUs until the session ends.
func (s *Session) read() {
	defer s.smsc.end(s)
	for s.room() {
		p, err := s.reader.Next()
		var broken *pdu.Error
		switch {
		case errors.As(err, &broken):
			s.nack(broken)
			if broken.Fatal {
				s.finish()
				return
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && s.Kind() != 0 && !s.asked:
			s.asked = true
			s.request(&pdu.EnquireLink{})
		case err != nil:
			return
		default:
			s.asked = false
			if !s.handle(p) {
				s.finish()
				return
			}
		}
	}
}

// nack answers a malformed PDU.
func (s *Session) nack(e *pdu.Error) {
	if _, ok := s.smsc.happens(faultHalfOpen, ""); ok || e.Command.IsResponse() && !e.Fatal {
		return // a response is not answered (§4.3)
	}
	body := responseTo(e.Command)
	if body == nil || e.Fatal {
		body = &pdu.GenericNack{}
	}
	s.respond(pdu.PDU{Status: e.Status, Sequence: e.Sequence, Body: body}, nil)
}

// room waits until at most maxOut octets are queued. It returns false if the session
// is closed.
func (s *Session) room() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out.octets) > maxOut && !s.closed {
		s.changed.Wait()
	}
	return !s.closed
}

func (s *Session) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.out.octets) > 0 && !s.ready {
		s.ready = true
		s.changed.Broadcast()
	}
}

// finish closes the connection after the queued octets are written.
func (s *Session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.changed.Broadcast()
}

// write writes batches until the session ends. It then closes the connection, which
// ends read.
func (s *Session) write() {
	var spare []byte
	for {
		b, ok := s.next(spare)
		if !ok {
			break
		}
		err := s.writeBatch(b)
		s.smsc.release(b.after)
		if err != nil {
			break
		}
		if spare = b.octets[:0]; cap(spare) > 2*maxOut {
			spare = nil
		}
		if a := s.owner(); a != nil {
			s.smsc.pump(a) // the session can send receipts again
		}
	}
	s.Close()
	s.mu.Lock()
	left := s.out.after
	s.out = batch{}
	s.mu.Unlock()
	s.smsc.release(left)
	s.smsc.forget(s)
}

// next waits for a batch. spare is the buffer of the following batch.
func (s *Session) next(spare []byte) (batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ready && !s.ending && !s.closed {
		s.changed.Wait()
	}
	if s.closed || len(s.out.octets) == 0 {
		return batch{}, false
	}
	b := s.out
	s.out, s.ready = batch{octets: spare}, false
	s.changed.Broadcast()
	return b, true
}

func (s *Session) writeBatch(b batch) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	start := 0
	for _, m := range b.marks {
		if _, err := s.conn.Write(b.octets[start:m.end]); err != nil {
			return err
		}
		start = m.end
		s.smsc.config.AfterResponse(s, m.response)
	}
	if start == len(b.octets) {
		return nil
	}
	_, err := s.conn.Write(b.octets[start:])
	return err
}

// respond queues a response of the reading goroutine, to be written together with the
// responses to other PDUs already received.
func (s *Session) respond(p pdu.PDU, after *pending) { s.queue(p, after, false) }

// queue queues a PDU, and schedules the receipt of message after once the PDU is
// written. It returns false if the PDU cannot be sent; the receipt is scheduled
// anyway. The caller may hold smsc.mu only if after is nil.
func (s *Session) queue(p pdu.PDU, after *pending, now bool) bool {
	s.mu.Lock()
	octets, err := pdu.Append(s.out.octets, p)
	if err != nil {
		s.mu.Unlock()
		s.smsc.release([]*pending{after})
		return false
	}
	return s.appended(octets, p, after, now)
}

// queueOctets is queue for malformed PDUs.
func (s *Session) queueOctets(octets []byte, after *pending) {
	s.mu.Lock()
	s.appended(append(s.out.octets, octets...), pdu.PDU{}, after, false)
}

// appended sets s.out.octets to octets, which end with p. It unlocks s.mu.
func (s *Session) appended(octets []byte, p pdu.PDU, after *pending, now bool) bool {
	if s.closed || s.ending {
		s.mu.Unlock()
		s.smsc.release([]*pending{after})
		return false
	}
	s.out.octets = octets
	if s.smsc.config.AfterResponse != nil && p.Body != nil && p.Body.Command().IsResponse() {
		s.out.marks = append(s.out.marks, mark{len(octets), p})
	}
	if after != nil {
		s.out.after = append(s.out.after, after)
	}
	if !s.ready && (now || len(octets) > writeSize) {
		s.ready = true
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	return true
}

// request sends a request of the SMSC.
func (s *Session) request(body pdu.Body) {
	s.smsc.mu.Lock()
	sequence := s.nextSequence()
	s.smsc.mu.Unlock()
	s.queue(pdu.PDU{Sequence: sequence, Body: body}, nil, true)
}

// nextSequence returns the next sequence number, 1 to 0x7FFFFFFF (§5.1.4). The caller
// holds smsc.mu.
func (s *Session) nextSequence() uint32 {
	s.sequence++
	if s.sequence > 0x7FFFFFFF {
		s.sequence = 1
	}
	return s.sequence
}
