// Package smsc is an SMSC for SMPP 3.4, used in tests, benchmarks and rehearsals. It
// accepts binds and messages like a carrier, decodes the texts, sends receipts, and
// injects the configured [Faults].
//
// It shows what it was handed, copy by copy, so that a message sent twice is seen
// twice. Sections (§) are those of the SMPP 3.4 specification, issue 1.2.
//
// The package must not know verifications, events, the store, or the carrier that
// it is the other side of. It is linked into the program ("countersign smsc"), so
// it must not import testing.
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

// Config describes an [Server]. The zero value accepts everybody, sends receipts
// that were asked for, and makes no mistakes.
type Config struct {
	// SystemID and Password are what an ESME must show; "" accepts any.
	SystemID, Password string

	Faults   Faults
	Receipts Receipts
	IDs      IDs

	// RetryReceiptAfter is how long an ESME that could not take a receipt
	// (ESME_RX_T_APPN) is left alone with it; one second if 0.
	RetryReceiptAfter time.Duration

	// EnquireLink is after how much silence the SMSC asks an ESME whether it is
	// there, and after as much again closes the connection; 0 for never.
	EnquireLink time.Duration

	// The hooks may close sessions, but must not call Close of the SMSC: it waits
	// for them.

	// OnMessage is called with each accepted message before it is answered, one
	// call at a time.
	OnMessage func(Message)

	// OnPDU is called with each PDU that was received and could be read, before it
	// is acted on.
	OnPDU func(*Session, pdu.PDU)

	// AfterResponse is called with each response when it was written to the
	// connection. Each then travels in a write of its own.
	AfterResponse func(*Session, pdu.PDU)

	TLS  *tls.Config // plain TCP if nil
	Seed uint64      // of what is drawn at random, and of the first message id

	// MaxMessages is how many accepted messages [Server.Messages] remembers; with 0
	// it remembers none, and messages are not decoded unless OnMessage is set.
	MaxMessages int
}

// Bounds. Beyond them an SMSC refuses or forgets; it never grows.
const (
	maxSessions = 1000     // open connections
	maxAccounts = 1000     // system_ids with a session or a kept receipt
	maxRecords  = 65_536   // messages that query_sm and cancel_sm know
	maxWaiting  = 500_000  // messages, and responses, that wait for their time
	maxKept     = 100_000  // receipts of a system_id that no session has taken
	maxInFlight = 1000     // receipts that a session has not answered
	joinOctets  = 16 << 20 // parts of messages of which others are missing
)

const (
	systemID     = "smsc" // in bind_resp
	bindTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
)

// Server is the server. Its methods may be called from many goroutines.
type Server struct {
	config  Config
	faults  atomic.Pointer[Faults]
	chance  chance
	timers  timers
	waiting atomic.Int64 // see reserve
	stop    chan struct{}
	tasks   sync.WaitGroup

	counters counters

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	sessions  map[*Session]struct{}
	sessionN  uint64
	accounts  map[string]*account
	records   []record // a ring, see record.go
	firstN    uint64   // number of the first message
	messageN  uint64   // number of the next message

	textMu sync.Mutex // OnMessage, one at a time
	joiner *gsm.Joiner[joinKey]

	seenMu sync.Mutex
	seen   []Message
}

// New makes an SMSC that does not listen yet. It must be closed.
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

// TB is what [Start] needs of a test: a *testing.T or *testing.B.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}

// Start makes an SMSC that listens on a free port of this machine and is closed
// when the test ends.
func Start(t TB, c Config) *Server {
	t.Helper()
	s := New(c)
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// Listen opens a TCP address and serves it until the SMSC is closed.
func (s *Server) Listen(address string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	if !s.add(l) {
		return errors.Join(net.ErrClosed, l.Close())
	}
	s.tasks.Go(func() { _ = s.accept(l) }) // it ends when Close closes l
	return nil
}

// Serve serves l until the SMSC is closed; then it returns nil. It closes l.
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

// serve begins a session, if there is room for one.
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

// Addr is the address of the first listener; "" if there is none.
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

// Close closes listeners and connections, and waits until all has ended. Receipts
// that were not sent yet are dropped.
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

// DropAll closes all connections, as a crash or a firewall would: nobody is told.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		session.Close()
	}
}

// UnbindAll asks all ESMEs to go, as before maintenance (§4.2).
func (s *Server) UnbindAll() {
	for _, session := range s.Sessions() {
		session.request(&pdu.Unbind{})
	}
}

// SetFaults replaces the faults. Those that count ("2x") begin anew.
func (s *Server) SetFaults(f Faults) {
	s.chance.set(f)
	s.faults.Store(&f)
	s.mu.Lock()
	accounts := slices.Collect(maps.Values(s.accounts))
	s.mu.Unlock()
	for _, a := range accounts {
		s.pump(a) // what half-open may have kept back
	}
}

// happens tells whether a fault happens to a message for a destination. It costs
// nothing while there are no faults.
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

// reserve takes a place among all that waits for its time. Who gets one must give
// it back with s.waiting.Add(-1).
func (s *Server) reserve() bool {
	if s.waiting.Add(1) > maxWaiting {
		s.waiting.Add(-1)
		return false
	}
	return true
}

// Messages gives the accepted messages, oldest first: the last MaxMessages of them.
func (s *Server) Messages() []Message {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	return append([]Message(nil), s.seen...)
}

// Sessions gives the sessions that are bound, in the order of their ids.
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
