package smsc

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// Session is one connection of an ESME. Two goroutines serve it: one reads and
// acts, the other writes. Its methods may be called from many goroutines.
type Session struct {
	smsc   *Server
	conn   net.Conn
	id     uint64
	reader *pdu.Reader

	// Of the reading goroutine.
	asked    bool   // an enquire_link of ours has no answer yet
	lost     bool   // its bind, by lost-bind
	farewell uint32 // number of the unbind sent by early-pdus; 0 if none
	limited  bool   // conn has a deadline for reading
	response pdu.SubmitSMResp

	// Guarded by smsc.mu.
	inFlight map[uint32]*delivery // receipts that are not answered yet
	sequence uint32               // of the last request of ours

	mu      sync.Mutex
	changed sync.Cond // of all below
	kind    pdu.Command
	account *account
	out     batch
	ready   bool // out is to be written now
	ending  bool // nothing more is written, but for out
	closed  bool
}

// batch is what goes out in one write.
type batch struct {
	octets []byte
	marks  []mark     // with AfterResponse: where responses end
	after  []*pending // messages whose response is in octets
}

type mark struct {
	end      int
	response pdu.PDU
}

const (
	writeSize = 64 << 10  // from which on a batch is not kept back
	maxOut    = 256 << 10 // from which on an ESME that does not read is not read either
)

func newSession(smsc *Server, conn net.Conn, id uint64) *Session {
	s := &Session{smsc: smsc, conn: conn, id: id, inFlight: map[uint32]*delivery{}}
	s.changed.L = &s.mu
	s.reader = pdu.NewReader(flushing{s})
	return s
}

// ID tells the connections of an SMSC apart: 1 is the first.
func (s *Session) ID() uint64 { return s.id }

// RemoteAddr is the address of the ESME.
func (s *Session) RemoteAddr() string { return s.conn.RemoteAddr().String() }

// SystemID is what the ESME has bound as; "" before it has.
func (s *Session) SystemID() string {
	if a := s.owner(); a != nil {
		return a.systemID
	}
	return ""
}

// Kind is the command that the ESME has bound with; 0 before it has.
func (s *Session) Kind() pdu.Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kind
}

// bound reports whether the session is bound, and goes on.
func (s *Session) bound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kind != 0 && !s.ending && !s.closed
}

// Close closes the connection without a word. It does not wait.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	_ = s.abort()
}

// abort closes the connection under TLS, too, without waiting for the other side.
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

// flushing is the connection as the reader sees it. Before it waits for more, all
// responses so far are on their way: they are written together, and none waits.
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

// patience is how long the ESME may be silent; 0 for ever.
func (s *Session) patience() time.Duration {
	if s.Kind() == 0 {
		return bindTimeout
	}
	return s.smsc.config.EnquireLink
}

// read acts on what comes until the session ends.
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

// nack answers what could not be read.
func (s *Session) nack(e *pdu.Error) {
	if _, ok := s.smsc.happens(faultHalfOpen, ""); ok || e.Command.IsResponse() && !e.Fatal {
		return // §4.3 has no answer to an answer
	}
	body := responseTo(e.Command)
	if body == nil || e.Fatal {
		body = &pdu.GenericNack{}
	}
	s.respond(pdu.PDU{Status: e.Status, Sequence: e.Sequence, Body: body}, nil)
}

// room waits until what is to be written is not too much. It reports whether the
// session goes on.
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

// finish has the connection closed once all so far is written.
func (s *Session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.changed.Broadcast()
}

// write writes batches until the session ends. It then closes the connection, and
// with it ends read.
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
			s.smsc.pump(a) // there is room again
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

// next waits for a batch; spare takes the octets that come after it.
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

// respond queues a response of the reading goroutine. It goes out with those that
// follow it, if they are here already.
func (s *Session) respond(p pdu.PDU, after *pending) { s.queue(p, after, false) }

// queue queues a PDU, and after it the receipt of a message. It reports whether
// the PDU can go out; the receipt is seen to in any case. Without a receipt,
// smsc.mu may be held.
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

// queueOctets is queue for octets that are no PDU.
func (s *Session) queueOctets(octets []byte, after *pending) {
	s.mu.Lock()
	s.appended(append(s.out.octets, octets...), pdu.PDU{}, after, false)
}

// appended takes over what was appended to s.out.octets. It unlocks s.mu.
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

// request sends a request of the SMSC's own.
func (s *Session) request(body pdu.Body) {
	s.smsc.mu.Lock()
	sequence := s.nextSequence()
	s.smsc.mu.Unlock()
	s.queue(pdu.PDU{Sequence: sequence, Body: body}, nil, true)
}

// nextSequence numbers requests from 1 to 0x7FFFFFFF (§5.1.4); smsc.mu is held.
func (s *Session) nextSequence() uint32 {
	s.sequence++
	if s.sequence > 0x7FFFFFFF {
		s.sequence = 1
	}
	return s.sequence
}
