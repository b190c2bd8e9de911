// Package softphone is a SIP phone for tests, benchmarks and rehearsals. It answers
// calls like a phone behind a trunk, records the audio of each call, and injects the
// configured faults.
//
//	softphone.go  a Phone and its configuration
//	socket.go     its sockets
//	ring.go       a call until its answer
//	talk.go       an answered call until its end
//	step.go       what it can do in a call: press keys, hold, hang up
//	renegotiate.go  re-INVITE without SDP, and changes of SDP
//	call.go       what is known of a call
//	fork.go       a second phone that answers the same call
//	odd.go        headers in unusual spelling
//	fault.go      misbehaviours of carriers, by name
//	auth.go       digest authentication
//	registrar.go  who has registered
//
// The package must not know verifications, carriers, or what is said. It is linked
// into the program ("countersign phone"), so it must not import testing.
package softphone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo"

	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
)

// Config describes a [Phone]. The zero value answers every call at once on a free
// port of 127.0.0.1, over UDP, and listens until the other side hangs up.
type Config struct {
	Listen    string      // address of SIP, IP:PORT; default 127.0.0.1:0
	Transport string      // udp (default), tcp or tls
	TLS       *tls.Config // with the certificate, for tls

	// What it does with a call. The first that is set decides.

	Silent      bool // says nothing at all, to anybody
	TryingOnly  bool // sends 100 Trying, and nothing more
	RingForever bool // sends 180 Ringing, and nothing more
	Late        bool // rings, and answers when a CANCEL comes: both cross on the way
	Status      int  // refuses with this response, after AnswerAfter

	// How it answers.

	Ring        bool          // sends 180 Ringing first; so it does with AnswerAfter
	AnswerAfter time.Duration // how long it rings
	Early       audio.Samples // said before the answer, after a 183 Session Progress
	Codecs      []uint8       // of the media package, all that it has; default all
	Secure      bool          // SRTP only; without it, whatever is offered
	NoRTP       bool          // never sends any, nor RTCP
	SDP         []byte        // its answer, in place of a good one
	EarlySDP    bool          // has its answer in a 183, and none in the 200
	SDPHost     string        // host name, or IPv4 address, in c= of its answer; "" for its address
	Held        string        // answers on hold: inactive, sendonly or zeros (c=0.0.0.0); "" for no hold
	OtherCodec  bool          // sends another codec of its answer than the first

	// KeysTogether gives all keys of a [Press] one RTP timestamp.
	KeysTogether bool

	// SessionExpires puts a session timer in the answer, which the other side is to
	// refresh (RFC 4028), in seconds; 0 for none.
	SessionExpires int

	Fork       bool // a second phone rings and answers as well, with another To tag
	MinSE      int  // refuses an INVITE with 422 unless its Min-SE is at least this, in seconds; 0 for no limit
	OddHeaders bool // writes headers in unusual spelling

	// Script is what it does once answered, step by step. After the last it listens
	// until the other side hangs up.
	Script []Step

	// Digest authentication of INVITE and REGISTER; none if User is "".

	User, Password string
	Proxy          bool // asks with 407, as proxies do, in place of 401
	Stale          bool // finds the nonce too old, the first time that it is used
	AskOnBye       bool // asks at a BYE, too
	Challenges     bool // asks with schemes and algorithms of all kinds, and takes SHA-512-256 only

	// Registrar takes REGISTER; see [Phone.Contacts].
	Registrar           bool
	LongestRegistration time.Duration // whoever asks for more gets this; default an hour
	// ShortestRegistration is the least Expires; 423 refuses less. 0 means no limit.
	ShortestRegistration time.Duration
	RegisterStatus       int // refuses REGISTER with this status; 0 for none

	// OnCall is told of each call that is over, which the phone then forgets. It is
	// called by many goroutines, and must not call [Phone.Close].
	OnCall func(Call)
}

// Phone takes calls. Its methods may be called from many goroutines.
type Phone struct {
	cfg    Config
	addr   netip.AddrPort
	auth   digestAuth
	book   book
	ua     *sipgo.UserAgent
	dialog sipgo.DialogUA
	socket socket

	ctx   context.Context //nolint:containedctx // of all calls
	stop  context.CancelFunc
	calls sync.WaitGroup

	gone    atomic.Bool // nothing is heard any more
	ignored atomic.Int64

	mu      sync.Mutex
	closed  bool
	live    map[string]*call // by Call-ID
	known   []*call          // in the order in which they came
	ended   []*call          // in the order in which they ended
	given   int              // of ended, by Next
	changed chan struct{}    // closed when one ends
}

// The bounds of a phone. Beyond them it refuses.
const (
	maxCalls  = 5000             // at a time
	firstPort = 40000            // of RTP
	lastPort  = 49999            //
	maxHeard  = 10 * time.Minute // of a call, that is kept
)

// Start begins to take calls. The caller must Close the phone.
func Start(cfg Config) (*Phone, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Transport == "" {
		cfg.Transport = "udp"
	}
	if len(cfg.Codecs) == 0 {
		cfg.Codecs = []uint8{media.PCMU, media.PCMA}
	}
	if cfg.LongestRegistration == 0 {
		cfg.LongestRegistration = max(time.Hour, cfg.ShortestRegistration)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	p := &Phone{cfg: cfg, live: map[string]*call{}, changed: make(chan struct{})}
	p.book.changed = make(chan struct{})
	p.auth = digestAuth{cfg: &p.cfg, nonce: newNonce(), stale: cfg.Stale}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if err := p.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("phone: %w", err), p.Close())
	}
	return p, nil
}

func (c *Config) check() error {
	listen, err := netip.ParseAddrPort(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("listen: %w", err)
	case listen.Addr().IsUnspecified():
		return errors.New("listen: must be one address: calls are answered from it")
	case !slices.Contains([]string{"udp", "tcp", "tls"}, c.Transport):
		return fmt.Errorf("transport: must be udp, tcp or tls, not %q", c.Transport)
	case c.Transport == "tls" && c.TLS == nil:
		return errors.New("tls: there is no certificate")
	case c.Status != 0 && (c.Status < 300 || c.Status > 699):
		return fmt.Errorf("status: %d refuses nothing", c.Status)
	case c.Challenges && c.User == "":
		return errors.New("challenges: a user must be given")
	case c.LongestRegistration < c.ShortestRegistration:
		return errors.New("longest registration: must not be less than the shortest")
	}
	return nil
}

// Addr is where the phone takes calls, IP:PORT.
func (p *Phone) Addr() string { return p.addr.String() }

// Calls are all calls so far, in the order in which they came, as they are now.
// What was turned away for want of a password is not among them.
func (p *Phone) Calls() []Call {
	p.mu.Lock()
	known := slices.Clone(p.known)
	p.mu.Unlock()
	calls := make([]Call, len(known))
	for i, c := range known {
		calls[i] = c.snapshot()
	}
	return calls
}

// Next waits for the end of a call, and gives each once, in the order in which they
// ended.
func (p *Phone) Next(ctx context.Context) (Call, error) {
	for {
		p.mu.Lock()
		changed := p.changed
		if p.given < len(p.ended) {
			c := p.ended[p.given]
			p.given++
			p.mu.Unlock()
			return c.snapshot(), nil
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Call{}, fmt.Errorf("no call has ended: %w", context.Cause(ctx))
		}
	}
}

// Contacts are the addresses that are registered.
func (p *Phone) Contacts() []string {
	contacts, _ := p.book.contacts(time.Now())
	return contacts
}

// Registered waits until so many addresses are registered, or more.
func (p *Phone) Registered(ctx context.Context, n int) ([]string, error) {
	for {
		contacts, changed := p.book.contacts(time.Now())
		if len(contacts) >= n {
			return contacts, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return contacts, fmt.Errorf("%d of %d registered: %w", len(contacts), n, context.Cause(ctx))
		}
	}
}

// Challenges is how often the phone has asked for a password.
func (p *Phone) Challenges() int { return int(p.auth.asked.Load()) }

// Ignored is how many messages the phone has not read, being silent or gone.
func (p *Phone) Ignored() int { return int(p.ignored.Load()) }

// Close ends all calls without a word, and waits until nothing is left of them.
func (p *Phone) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.calls.Wait()
	return p.socket.close(p.ua)
}

// begin takes up a call, unless the phone is closed, has too many, or has it already.
func (p *Phone) begin(c *call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, twice := p.live[c.ID]; p.closed || twice || len(p.live) >= maxCalls {
		return false
	}
	p.calls.Add(1)
	p.live[c.ID] = c
	p.known = append(p.known, c)
	return true
}

// end puts a call to those that are over.
func (p *Phone) end(c *call) {
	defer p.calls.Done()
	if p.cfg.OnCall != nil {
		defer p.cfg.OnCall(c.snapshot())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, c.ID)
	if p.cfg.OnCall != nil {
		p.known = slices.DeleteFunc(p.known, func(k *call) bool { return k == c })
		return
	}
	p.ended = append(p.ended, c)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Phone) find(id string) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live[id]
}
