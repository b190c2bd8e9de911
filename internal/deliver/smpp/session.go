package smpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp/pdu"
)

// Errors of a request without a response. After errNotWritten the peer cannot have
// received the whole request; after the others it may have acted on it.
var (
	errNotWritten = errors.New("not written")
	errTimeout    = errors.New("no response in time")
	errLost       = errors.New("connection lost before the response")
	errMalformed  = errors.New("malformed response")
)

var errWindow = fmt.Errorf("%w: window full", deliver.ErrNotSent)

// Reasons for the end of a session.
var (
	errDeaf    = errors.New("peer does not read")
	errUnbound = errors.New("unbound by the peer")
	// errUnusable wraps the evidence that the SMSC accepts no messages on a session.
	errUnusable = errors.New("bind is unusable")
	errMute     = fmt.Errorf("%w: peer answers no request", errUnusable)
)

const (
	// maxQueued limits the octets that wait to be written. More mean that the peer
	// does not read.
	maxQueued = 4 << 20
	// writeTimeout bounds one write to a peer that does not read.
	writeTimeout = 10 * time.Second
	// lastWords limits the wait for responses after a failed write.
	lastWords = time.Second
	// maxLate limits the requests that are kept after their timeout to match late
	// responses.
	maxLate = 4096
)

// session is one bound connection, safe for concurrent requests. A response belongs
// to the request with its sequence number. The loops (loops.go) end with the
// connection.
type session struct {
	conn    net.Conn
	reader  *pdu.Reader
	address string               // peer address, as configured
	timeout time.Duration        // response timeout
	enquire time.Duration        // idle time before a keep-alive
	handle  func(pdu.PDU) answer // handles a request of the peer
	late    func(tag any, p pdu.PDU)
	stray   func() // counts a response without a request

	accepted atomic.Bool // a message was accepted over this session

	slots chan struct{} // one token per submission that is queued or in flight
	wake  chan struct{} // has one value when out has octets
	ended chan struct{} // closed when the session has ended
	loops sync.WaitGroup
	spare sync.Pool // completed pendingRequests

	mu       sync.Mutex
	out      []byte // PDUs to write
	sequence uint32 // sequence number of the last request
	queued   uint64 // total octets appended to out
	written  uint64 // total octets written to the connection
	writing  bool   // a write is in progress
	pending  map[uint32]*pendingRequest
	expired  map[uint32]any // tags of requests that timed out
	order    []uint32       // keys of expired; a ring once it has maxLate entries
	oldest   int            // index of the oldest entry in order
	err      error          // reason for the end of the session
	broken   error          // write error; no further writes
	retired  error          // reason for accepting no new requests; the session ends after the last response
	failed   failures       // submissions answered with ESME_RSYSERR or generic_nack since the last success
	bound    bool           // the bind was accepted
	early    []pdu.PDU      // messages that arrived before the bind was accepted

	goodbye  uint32    // sequence number of the peer's unbind; 0 before it
	leaving  bool      // unbind_resp is in out as the last PDU
	heard    time.Time // time of the last read
	enquired bool      // a keep-alive waits for its response
	mute     time.Time // first timeout since the last response; zero without timeouts
}

// answer is the reply to a request of the peer: immediate, or sent by later, which
// runs in its own goroutine. A nil body with a nil later means no reply.
type answer struct {
	status pdu.Status
	body   pdu.Body
	later  func(reply func(pdu.Status, pdu.Body))
}

// pendingRequest is a request without its response.
type pendingRequest struct {
	done  chan result
	until time.Time
	tag   any
	end   uint64 // value of session.queued after its last octet
}

type result struct {
	p   pdu.PDU
	err error
}

func newSession(conn net.Conn, reader *pdu.Reader, window int) *session {
	return &session{
		conn: conn, reader: reader,
		slots:   make(chan struct{}, window),
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		pending: make(map[uint32]*pendingRequest, window),
		expired: map[uint32]any{},
		heard:   time.Now(),
	}
}

// start runs the loops that a bind needs; opened runs the rest.
func (s *session) start() {
	s.loops.Go(s.readLoop)
	s.loops.Go(s.writeLoop)
	s.loops.Go(func() {
		<-s.ended
		// Not under s.mu: closing a TLS connection may block.
		_ = s.conn.Close()
	})
}

// acquireSlot acquires a slot of the window; releaseSlot releases it. The error wraps
// errNotWritten if the session ended, errWindow if until passed or ctx is done.
func (s *session) acquireSlot(ctx context.Context, until time.Time) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return errWindow
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errWindow, ctx.Err())
	case <-s.ended:
		return errNotWritten
	}
}

func (s *session) releaseSlot() { <-s.slots }

// request sends a request and waits for its response until ctx is done. A response
// after the timeout or after ctx is passed to s.late with tag, unless tag is nil.
func (s *session) request(ctx context.Context, body pdu.Body, tag any, timeout time.Duration) (pdu.PDU, error) {
	c, ok := s.spare.Get().(*pendingRequest)
	if !ok {
		c = &pendingRequest{done: make(chan result, 1)}
	}
	seq, err := s.enqueue(body, c, tag, timeout)
	if err != nil {
		s.spare.Put(c)
		return pdu.PDU{}, err
	}
	var r result
	select {
	case r = <-c.done:
	case <-ctx.Done():
		if s.giveUp(seq) {
			r.err = fmt.Errorf("%w: %w", errTimeout, ctx.Err())
		} else {
			r = <-c.done // the response arrived first
		}
	}
	c.tag = nil
	s.spare.Put(c)
	return r.p, r.err
}

// enqueue appends a request to the write queue.
func (s *session) enqueue(body pdu.Body, c *pendingRequest, tag any, timeout time.Duration) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.usableLocked() {
		return 0, errNotWritten
	}
	seq := s.sequence%0x7FFFFFFF + 1 // §3.2: 1 to 0x7FFFFFFF
	out, err := pdu.Append(s.out, pdu.PDU{Sequence: seq, Body: body})
	if err != nil {
		return 0, err
	}
	if len(out) > maxQueued {
		s.failLocked(errDeaf)
		return 0, errNotWritten
	}
	s.put(out)
	s.sequence = seq
	c.until, c.tag, c.end = time.Now().Add(timeout), tag, s.queued
	s.pending[seq] = c
	return seq, nil
}

// put replaces s.out by out, which is longer, and wakes the writer. The caller holds
// s.mu.
func (s *session) put(out []byte) {
	s.queued += uint64(len(out) - len(s.out))
	s.out = out
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reply appends a response to the write queue.
func (s *session) reply(seq uint32, status pdu.Status, body pdu.Body) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replyLocked(seq, status, body)
}

func (s *session) replyLocked(seq uint32, status pdu.Status, body pdu.Body) {
	if s.err != nil || s.broken != nil || s.leaving {
		return
	}
	out, err := pdu.Append(s.out, pdu.PDU{Status: status, Sequence: seq, Body: body})
	switch {
	case err != nil:
		s.failLocked(err)
	case len(out) > maxQueued:
		s.failLocked(errDeaf)
	default:
		s.put(out)
	}
}

// giveUp stops the wait for a response. It returns false if the response has arrived.
func (s *session) giveUp(seq uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.pending[seq]
	if c == nil {
		return false
	}
	s.expire(seq, c)
	s.leave()
	return true
}

// expire removes a pending request and keeps its tag for a late response. The caller
// holds s.mu.
func (s *session) expire(seq uint32, c *pendingRequest) {
	delete(s.pending, seq)
	if c.tag == nil {
		return
	}
	s.expired[seq] = c.tag
	if len(s.order) < maxLate {
		s.order = append(s.order, seq)
		return
	}
	delete(s.expired, s.order[s.oldest])
	s.order[s.oldest] = seq
	s.oldest = (s.oldest + 1) % maxLate
}

// complete passes a response to its request, to s.late or to s.stray.
func (s *session) complete(seq uint32, r result) {
	s.mu.Lock()
	s.heard = time.Now()
	c := s.pending[seq]
	delete(s.pending, seq)
	tag := s.expired[seq]
	delete(s.expired, seq)
	if tag != nil || c != nil && c.tag != nil {
		s.mute = time.Time{}
	}
	if c != nil {
		c.done <- r // has room
		s.leave()
	}
	s.mu.Unlock()
	switch {
	case c != nil:
	case tag == nil:
		s.stray()
	case r.err == nil:
		s.late(tag, r.p)
	}
}

// leave answers the peer's unbind and ends a retired session, once no request is
// pending: after the unbind_resp the peer would send no responses (§4.2). The
// caller holds s.mu.
func (s *session) leave() {
	if len(s.pending) > 0 {
		return
	}
	if s.goodbye != 0 {
		s.replyLocked(s.goodbye, pdu.StatusOK, &pdu.UnbindResp{})
		s.leaving = true
	}
	if s.retired != nil {
		s.failLocked(s.retired)
	}
}

func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(err)
}

// failLocked ends the session. It keeps the first reason.
func (s *session) failLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = cmp.Or(s.broken, err)
	close(s.ended)
	if !s.writing {
		s.failPending(true)
	} // otherwise write does, with an exact count of written octets
}

// failPending fails the pending requests that were not written with errNotWritten; if
// all is set, it fails the others with errLost. The caller holds s.mu.
func (s *session) failPending(all bool) {
	for seq, c := range s.pending {
		switch {
		case c.end > s.written:
			c.done <- result{err: errNotWritten}
		case all:
			c.done <- result{err: errLost}
		default:
			continue
		}
		delete(s.pending, seq)
	}
}

// usable reports whether requests can be sent.
func (s *session) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usableLocked()
}

func (s *session) usableLocked() bool {
	return s.err == nil && s.broken == nil && s.retired == nil && s.goodbye == 0
}

// unanswered returns the number of submissions without a response.
func (s *session) unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.pending {
		if c.tag != nil {
			n++
		}
	}
	return n
}

// reason returns the reason for the end of the session.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// unbind sends unbind, and ends the session after the response or when ctx is done.
func (s *session) unbind(ctx context.Context) {
	_, err := s.request(ctx, &pdu.Unbind{}, nil, s.timeout)
	if errors.Is(err, errNotWritten) { // the peer unbinds
		select {
		case <-s.ended:
		case <-ctx.Done():
		}
	}
	s.fail(errors.Join(errors.New("unbound"), err))
	s.loops.Wait()
}
