// Package softphone is a SIP phone for tests, benchmarks and rehearsals. It answers
// calls like a phone behind a trunk, records the audio of each call, and injects the
// configured faults.
//
//	softphone.go  Phone and its configuration
//	socket.go     sockets
//	ring.go       a call until its answer
//	talk.go       an answered call until its end
//	step.go       actions in a call: press keys, hold, hang up
//	renegotiate.go  re-INVITE without SDP, and changes of SDP
//	call.go       the record of a call
//	fork.go       a second phone that answers the same call
//	odd.go        headers in unusual spelling
//	fault.go      misbehaviours of carriers, by name
//	auth.go       digest authentication
//	registrar.go  registrations
//
// The package must not depend on verifications, carriers or the content of
// announcements. It is linked into the program ("countersign phone"), so it must not
// import testing.
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

// Config configures a [Phone]. The zero value listens on a free UDP port of 127.0.0.1,
// answers every call immediately, and records it until the other side hangs up.
type Config struct {
	Listen    string      // address of SIP, IP:PORT; default 127.0.0.1:0
	Transport string      // udp (default), tcp or tls
	TLS       *tls.Config // configuration with a certificate; required for tls

	// Before the answer. If several are set, the first applies.

	Silent      bool // ignore all messages
	TryingOnly  bool // send only 100 Trying
	RingForever bool // send only 180 Ringing
	Late        bool // ring, and answer when a CANCEL arrives, so that both cross
	Status      int  // refuse with this status, after AnswerAfter

	// The answer.

	Ring        bool          // send 180 Ringing first; implied by AnswerAfter
	AnswerAfter time.Duration // duration of ringing
	Early       audio.Samples // played before the answer, after a 183 Session Progress
	Codecs      []uint8       // supported codecs of the media package; default all
	Secure      bool          // SRTP only; if false, as offered
	NoRTP       bool          // send neither RTP nor RTCP
	SDP         []byte        // SDP that replaces the regular answer
	EarlySDP    bool          // send the answer in a 183, and a 200 without SDP
	SDPHost     string        // host name or IPv4 address in c= of the answer; default the phone's address
	Held        string        // answer on hold: inactive, sendonly or zeros (c=0.0.0.0); "" for no hold
	OtherCodec  bool          // send the last codec of the answer, not the first

	// KeysTogether uses the same RTP timestamp for all keys of a [Press].
	KeysTogether bool

	// SessionExpires is the session timer in the answer, in seconds, which the other side
	// must refresh (RFC 4028); 0 for no timer.
	SessionExpires int

	Fork       bool // a second phone also rings and answers, with another To tag
	MinSE      int  // refuse an INVITE with 422 unless its Min-SE is at least this, in seconds; 0 for no limit
	OddHeaders bool // write headers in unusual spelling

	// Script is the list of steps after the answer. After the last step the phone records
	// the call until the other side hangs up.
	Script []Step

	// Digest authentication of INVITE and REGISTER; disabled if User is "".

	User, Password string
	Proxy          bool // challenge with 407, like a proxy, not 401
	Stale          bool // report the nonce as stale at its first use
	AskOnBye       bool // also challenge a BYE
	Challenges     bool // challenge with various schemes and algorithms, and accept only SHA-512-256

	// Registrar accepts REGISTER; see [Phone.Contacts].
	Registrar           bool
	LongestRegistration time.Duration // maximum granted; default an hour
	// ShortestRegistration is the minimum Expires; less is refused with 423. 0 means no limit.
	ShortestRegistration time.Duration
	RegisterStatus       int // refuse REGISTER with this status; 0 to accept

	// OnCall is called with each finished call, which the phone then discards. Calls are
	// concurrent. It must not call [Phone.Close].
	OnCall func(Call)
}

// Phone answers calls. Its methods are safe for concurrent use.
type Phone struct {
	cfg    Config
	addr   netip.AddrPort
	auth   digestAuth
	book   book
	ua     *sipgo.UserAgent
	dialog sipgo.DialogUA
	socket socket

	ctx   context.Context //nolint:containedctx // parent of all calls
	stop  context.CancelFunc
	calls sync.WaitGroup

	gone    atomic.Bool // set by Drop: all messages are ignored
	ignored atomic.Int64

	mu      sync.Mutex
	closed  bool
	live    map[string]*call // current calls, by Call-ID
	known   []*call          // all calls, in the order of arrival
	ended   []*call          // finished calls, in the order of their end
	given   int              // calls of ended that Next has returned
	changed chan struct{}    // closed when a call ends
}

// The bounds of a phone.
const (
	maxCalls  = 5000             // concurrent calls
	firstPort = 40000            // RTP ports
	lastPort  = 49999            //
	maxHeard  = 10 * time.Minute // recorded audio per call
)

// Start starts a phone. The caller must Close it.
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
		return errors.New("listen: must be a specific address, since calls are answered from it")
	case !slices.Contains([]string{"udp", "tcp", "tls"}, c.Transport):
		return fmt.Errorf("transport: must be udp, tcp or tls, not %q", c.Transport)
	case c.Transport == "tls" && c.TLS == nil:
		return errors.New("tls: a certificate is required")
	case c.Status != 0 && (c.Status < 300 || c.Status > 699):
		return fmt.Errorf("status: must be 300 to 699, not %d", c.Status)
	case c.Challenges && c.User == "":
		return errors.New("challenges: a user is required")
	case c.LongestRegistration < c.ShortestRegistration:
		return errors.New("longest registration: must not be less than the shortest")
	}
	return nil
}

// Addr returns the phone's SIP address, IP:PORT.
func (p *Phone) Addr() string { return p.addr.String() }

// Calls returns the current records of all calls so far, in the order of arrival. It
// omits INVITEs refused for missing credentials or a short Min-SE. With
// [Config.OnCall] it returns only current calls.
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

// Next waits for the end of a call and returns it. It returns each call once, in the
// order of their ends.
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

// Contacts returns the registered addresses.
func (p *Phone) Contacts() []string {
	contacts, _ := p.book.contacts(time.Now())
	return contacts
}

// Registered waits until at least n addresses are registered and returns them.
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

// Challenges returns the number of challenges sent.
func (p *Phone) Challenges() int { return int(p.auth.asked.Load()) }

// Ignored returns the number of messages ignored because of Silent or [Drop].
func (p *Phone) Ignored() int { return int(p.ignored.Load()) }

// Close ends all calls without a BYE, waits for their goroutines and closes the socket.
func (p *Phone) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.calls.Wait()
	return p.socket.close(p.ua)
}

// begin adds a call. It returns false if the phone is closed, has too many calls, or
// already has this call.
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

// end moves a call to the finished ones, or passes it to OnCall.
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
