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

// How a request may end without a response. errNotWritten is certain: the peer
// has not got all of it. The others are not: the peer may have acted on it.
var (
	errNotWritten = errors.New("not written")
	errTimeout    = errors.New("no response in time")
	errLost       = errors.New("connection lost before the response")
	errMalformed  = errors.New("response makes no sense")
)

var errWindow = fmt.Errorf("%w: window full", deliver.ErrNotSent)

// Why a session ends.
var (
	errDeaf    = errors.New("peer does not read")
	errUnbound = errors.New("unbound by the peer")
	// errUnusable wraps the evidence that the SMSC accepts no messages on a session.
	errUnusable = errors.New("bind is unusable")
	errMute     = fmt.Errorf("%w: peer answers no request", errUnusable)
)

const (
	// maxQueued bounds the octets that wait to be written. A peer that lets more
	// pile up does not read.
	maxQueued = 4 << 20
	// writeTimeout bounds one write to a peer that does not read.
	writeTimeout = 10 * time.Second
	// lastWords is how long a peer that takes no more is listened to.
	lastWords = time.Second
	// maxLate bounds how many requests are remembered after their timeout, for
	// the case that their response still comes.
	maxLate = 4096
)

// session is one bound connection. Requests may be sent from many goroutines;
// each gets the response with its sequence number. Its loops (loops.go) end with
// the connection.
type session struct {
	conn    net.Conn
	reader  *pdu.Reader
	address string               // of the peer, as configured
	timeout time.Duration        // for a response
	enquire time.Duration        // of silence before a keep-alive
	handle  func(pdu.PDU) answer // for requests of the peer
	late    func(tag any, p pdu.PDU)
	stray   func() // a response that belongs to no request

	accepted atomic.Bool // a message was accepted over this session

	slots chan struct{} // a token for each submission that waits to be written, or for its response
	wake  chan struct{} // has one value when out has octets
	ended chan struct{} // closed once the connection is of no use
	loops sync.WaitGroup
	spare sync.Pool // completed pendingRequests

	mu       sync.Mutex
	out      []byte // PDUs to write
	sequence uint32 // of the last request
	queued   uint64 // octets put in out so far
	written  uint64 // of those, taken by the connection
	writing  bool   // more of them are on their way
	pending  map[uint32]*pendingRequest
	expired  map[uint32]any // the tags of requests whose time is over
	order    []uint32       // of expired: a ring, once it has maxLate
	oldest   int            // in order
	err      error          // why the session ended
	broken   error          // why nothing can be written any more
	retired  error          // why the session is out of use; it ends with the last response
	failed   failures       // submissions answered with ESME_RSYSERR or generic_nack since the last success
	bound    bool           // the bind was accepted
	early    []pdu.PDU      // messages that arrived before the bind was accepted

	goodbye  uint32    // the peer has sent unbind, with this number; 0 if not
	leaving  bool      // its response is in out, and nothing comes after it
	heard    time.Time // when something was last read
	enquired bool      // a keep-alive waits for its response
	mute     time.Time // when the first request timed out since the last response; zero if none did
}

// answer is what a session replies to a request: at once, or from a function that
// runs on its own. A nil body with a nil function is no reply.
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
	end   uint64 // the last of its octets, among those of the session
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
		// Not under s.mu: TLS may take its time to say goodbye.
		_ = s.conn.Close() // whatever it says, the connection is of no use
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

// request sends a request and waits for its response until ctx ends. When that
// comes after the timeout, or after ctx, it goes to s.late with tag, unless that
// is nil.
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
			r = <-c.done // it came meanwhile
		}
	}
	c.tag = nil
	s.spare.Put(c)
	return r.p, r.err
}

// enqueue puts a request where the writer takes it.
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

// put replaces out by one with more at its end. The caller holds s.mu.
func (s *session) put(out []byte) {
	s.queued += uint64(len(out) - len(s.out))
	s.out = out
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reply puts a response where the writer takes it.
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

// giveUp stops waiting for a response. It reports false when that has come.
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

// complete hands a response to whoever waits for it.
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

// leave answers the peer's goodbye once all requests have their response, which
// it would not send after that (§4.2), and ends a retired session. The caller
// holds s.mu.
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

// failLocked ends the session. Only the first reason counts.
func (s *session) failLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = cmp.Or(s.broken, err)
	close(s.ended)
	if !s.writing {
		s.failPending(true)
	} // or else write does, which knows more
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

// unanswered is how many submissions wait for their response.
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

// reason is why the session ended.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// unbind says goodbye, and ends the session when the peer has answered or ctx
// ends.
func (s *session) unbind(ctx context.Context) {
	_, err := s.request(ctx, &pdu.Unbind{}, nil, s.timeout)
	if errors.Is(err, errNotWritten) { // the peer was first
		select {
		case <-s.ended:
		case <-ctx.Done():
		}
	}
	s.fail(errors.Join(errors.New("unbound"), err))
	s.loops.Wait()
}
