// Package smsc is an SMSC for SMPP 3.4, used in tests, benchmarks and rehearsals. It
// accepts binds and messages like a carrier, decodes the texts, sends receipts, and
// injects the configured [Faults].
//
// It reports every accepted submission, so that duplicates are visible. Sections (§)
// refer to the SMPP 3.4 specification, issue 1.2.
//
// The package does not depend on verifications, events, the store or the carrier in
// package smpp. It is linked into the program ("countersign smsc"), so it must not
// import testing.
package smsc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
)

// Config is the configuration of a [Server]. The zero value accepts every bind and
// message, sends requested receipts, and injects no faults.
type Config struct {
	// SystemID and Password are the required credentials; "" accepts any.
	SystemID, Password string

	Faults   Faults
	Receipts Receipts
	IDs      IDs

	// RetryReceiptAfter is the pause before a receipt that the ESME temporarily
	// refused (such as ESME_RX_T_APPN) is resent; one second if 0.
	RetryReceiptAfter time.Duration

	// EnquireLink is the idle time after which the SMSC sends an enquire_link. After
	// the same time without a response it closes the connection. 0 disables it.
	EnquireLink time.Duration

	// The hooks may close sessions, but must not call Server.Close, which waits for
	// them.

	// OnMessage is called with each accepted message before the response. Calls do
	// not overlap.
	OnMessage func(Message)

	// OnPDU is called with each decoded PDU before it is handled.
	OnPDU func(*Session, pdu.PDU)

	// AfterResponse is called with each response after it was written to the
	// connection. If it is set, each response is a separate write.
	AfterResponse func(*Session, pdu.PDU)

	TLS  *tls.Config // nil for plain TCP
	Seed uint64      // seed of random faults and of message ids

	// MaxMessages is the number of accepted messages that [Server.Messages] returns. If
	// it is 0 and OnMessage is nil, messages are not decoded.
	MaxMessages int
}

// Bounds of memory. Beyond them the SMSC refuses or drops.
const (
	maxSessions = 1000     // open connections
	maxAccounts = 1000     // system_ids with a session or a queued receipt
	maxRecords  = 65_536   // messages available to query_sm and cancel_sm
	maxWaiting  = 500_000  // pending messages and delayed responses
	maxKept     = 100_000  // queued receipts of a system_id
	maxInFlight = 1000     // unanswered receipts of a session
	joinOctets  = 16 << 20 // parts of incomplete messages, in octets
)

const (
	systemID     = "smsc" // in bind_resp
	bindTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
)

// Server is an SMSC. It is safe for concurrent use.
type Server struct {
	config  Config
	faults  atomic.Pointer[Faults]
	chance  chance
	timers  timers
	waiting atomic.Int64 // slots acquired by reserve
	stop    chan struct{}
	tasks   sync.WaitGroup

	counters counters

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	sessions  map[*Session]struct{}
	sessionN  uint64
	accounts  map[string]*account
	records   []record // ring buffer, see record.go
	firstN    uint64   // number of the first message
	messageN  uint64   // number of the next message

	textMu sync.Mutex // serializes OnMessage
	joiner *gsm.Joiner[joinKey]

	seenMu sync.Mutex
	seen   []Message
}

// New returns an SMSC without listeners. The caller must close it.
func New(c Config) *Server {
	if c.RetryReceiptAfter == 0 {
		c.RetryReceiptAfter = time.Second
	}
	s := &Server{
		config:   c,
		timers:   timers{wake: make(chan struct{}, 1)},
		chance:   chance{random: rand.New(rand.NewPCG(c.Seed, 0))}, //nolint:gosec // faults, repeatable
		stop:     make(chan struct{}),
		sessions: map[*Session]struct{}{},
		accounts: map[string]*account{},
		firstN:   firstID + c.Seed%100_000_000,
		joiner:   gsm.NewJoiner[joinKey](joinOctets),
	}
	s.messageN = s.firstN
	s.SetFaults(c.Faults)
	s.tasks.Go(func() { s.timers.run(s.stop) })
	return s
}

// TB is the part of *testing.T and *testing.B that [Start] uses.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}

// Start starts an SMSC on a free local port and closes it at the end of the test.
func Start(t TB, c Config) *Server {
	t.Helper()
	s := New(c)
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// Listen listens on a TCP address and serves it until the SMSC is closed.
func (s *Server) Listen(address string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	if !s.add(l) {
		return errors.Join(net.ErrClosed, l.Close())
	}
	s.tasks.Go(func() { _ = s.accept(l) }) // ends when Close closes l
	return nil
}

// Serve serves l until the SMSC is closed, and then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if !s.add(l) {
		return errors.Join(net.ErrClosed, l.Close())
	}
	return s.accept(l)
}

func (s *Server) add(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners = append(s.listeners, l)
	return true
}

func (s *Server) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			closeErr := l.Close()
			select {
			case <-s.stop:
				return nil
			default:
				return errors.Join(fmt.Errorf("accept: %w", err), closeErr)
			}
		}
		s.serve(conn)
	}
}

// serve starts a session, or closes conn if the SMSC is closed or has maxSessions.
func (s *Server) serve(conn net.Conn) {
	if s.config.TLS != nil {
		conn = tls.Server(conn, s.config.TLS)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.sessions) >= maxSessions {
		_ = conn.Close()
		return
	}
	s.sessionN++
	session := newSession(s, conn, s.sessionN)
	s.sessions[session] = struct{}{}
	s.counters.connections.Add(1)
	s.tasks.Go(session.read)
	s.tasks.Go(session.write)
}

// Addr returns the address of the first listener; "" without listeners.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return ""
	}
	return s.listeners[0].Addr().String()
}

// Addrs returns the addresses of all listeners, in the order of Listen.
func (s *Server) Addrs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, len(s.listeners))
	for i, l := range s.listeners {
		list[i] = l.Addr().String()
	}
	return list
}

// Close closes the listeners and connections, and waits until all goroutines have
// ended. Pending receipts are dropped.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.tasks.Wait()
		return nil
	}
	s.closed = true
	close(s.stop)
	var err error
	for _, l := range s.listeners {
		if e := l.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	s.mu.Unlock()
	s.DropAll()
	s.tasks.Wait()
	return err
}

// DropAll closes all connections without unbinding, like a crash or a firewall.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		session.Close()
	}
}

// UnbindAll sends unbind to all ESMEs, as before maintenance (§4.2).
func (s *Server) UnbindAll() {
	for _, session := range s.Sessions() {
		session.request(&pdu.Unbind{})
	}
}

// SetFaults replaces the faults. Counted faults ("2x") restart.
func (s *Server) SetFaults(f Faults) {
	s.chance.set(f)
	s.faults.Store(&f)
	s.mu.Lock()
	accounts := slices.Collect(maps.Values(s.accounts))
	s.mu.Unlock()
	for _, a := range accounts {
		s.pump(a) // half-open may have held back receipts
	}
}

// happens reports whether a fault applies to a message for a destination, and the
// rule. Without faults it is cheap.
func (s *Server) happens(k kind, to string) (rule, bool) {
	if f := s.faults.Load(); !f.some || len(f.rules[k]) == 0 {
		return rule{}, false
	}
	return s.chance.happens(k, to)
}

func (s *Server) wait(k kind) time.Duration {
	if f := s.faults.Load(); !f.some || len(f.rules[k]) == 0 {
		return 0
	}
	return s.chance.wait(k)
}

// reserve acquires one of maxWaiting slots for pending work. On success the caller
// must release the slot with s.waiting.Add(-1).
func (s *Server) reserve() bool {
	if s.waiting.Add(1) > maxWaiting {
		s.waiting.Add(-1)
		return false
	}
	return true
}

// Messages returns the last MaxMessages accepted messages, oldest first.
func (s *Server) Messages() []Message {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	return append([]Message(nil), s.seen...)
}

// Sessions returns the bound sessions, ordered by id.
func (s *Server) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bound []*Session
	for session := range s.sessions {
		if session.bound() {
			bound = append(bound, session)
		}
	}
	slices.SortFunc(bound, func(a, b *Session) int { return cmp.Compare(a.id, b.id) })
	return bound
}
