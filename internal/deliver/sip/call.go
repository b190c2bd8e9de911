package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
)

// call is one call, from its INVITE to its end.
type call struct {
	trunk   *trunk
	id      string // Call-ID
	message deliver.Message
	caller  string
	sound   audio.Samples
	once    time.Duration // playing time of sound up to the end of the first code
	media   *media.Session
	sdp     descriptions

	fate     atomic.Int32  // see the constants pending to abandoned in carrier.go
	response signal        // a response of any kind was received
	ringing  signal        // the phone rings, or the call is answered
	giveUp   signal        // the call is no longer needed: it ends unless it is answered
	over     chan struct{} // closed by a BYE from the other side
	gone     sync.Once
	life     context.Context //nolint:containedctx // lasts while run does

	mu         sync.Mutex
	session    *session                     // set once, by invite; its InviteRequest is replaced under mu
	proceeding bool                         // the last response to the current INVITE was provisional
	withdrawn  bool                         // the CANCEL was sent
	acks       map[uint32]chan *sip.Request // pending ACKs to our responses to re-INVITEs, by CSeq

	cancelling sync.WaitGroup // goroutines that send the CANCEL
}

// signal is an event that happens at most once.
type signal struct {
	c    chan struct{}
	once *sync.Once
}

func newSignal() signal { return signal{make(chan struct{}), new(sync.Once)} }

func (s signal) raise() { s.once.Do(func() { close(s.c) }) }

func (s signal) raised() bool {
	select {
	case <-s.c:
		return true
	default:
		return false
	}
}

// Result is the outcome of a call with its details.
type Result struct {
	Ref      string // Call-ID
	Outcome  Outcome
	Note     string        // detail for the event: the final response, or an observation
	Err      error         // reason for a call without audio
	Talked   time.Duration // time from the answer to the end
	Said     time.Duration // length of the longest playback of the announcement
	Complete bool          // Said is the whole announcement
	Heard    bool          // the code was played, RTP or RTCP was received, and the call lasted a second
	Stats    media.Stats
}

// run places the call and returns at its end. The end of ctx ends the call: with a
// CANCEL before the answer, with a BYE after it.
func (c *call) run(ctx context.Context) (r Result) {
	defer func() { r.Ref, r.Stats = c.id, c.media.Stats() }()
	life, end := context.WithCancel(context.Background())
	defer end()
	c.life = life
	ring, stopRinging := context.WithCancelCause(ctx)
	defer stopRinging(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	watched, answered := context.WithCancel(ring)
	defer answered()
	watching.Go(func() { c.watch(watched, stopRinging) })
	c.trunk.add(c)

	err := c.invite(ring)
	if err == nil {
		err = ring.Err() // the answer crossed the end of ring
	}
	defer c.trunk.remove(c)
	answered()
	if err != nil {
		return c.unanswered(ring, err)
	}
	return c.answered(ctx)
}

// Reasons to cancel a ringing call.
var (
	errNoAnswer  = errors.New("no answer")
	errCancelled = errors.New("cancelled")
)

// watch calls stop after the ring timeout, when the call is given up, or when its code
// is no longer needed.
func (c *call) watch(ctx context.Context, stop context.CancelCauseFunc) {
	enough := time.NewTimer(c.trunk.cfg.RingTimeout)
	defer enough.Stop()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	wanted := c.trunk.cfg.Wanted
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.giveUp.c:
			stop(errCancelled)
			return
		case <-enough.C:
			stop(errNoAnswer)
			return
		case <-every.C:
			if wanted != nil && !wanted(ctx, c.message) {
				stop(errCancelled)
				return
			}
		}
	}
}

// invite dials and returns nil if the call was answered. When ring ends, the call is
// cancelled and invite waits up to lastWord for the final response, since an answer may
// cross the CANCEL (RFC 3261 §9.1). It does not wait if the trunk never responded.
func (c *call) invite(ring context.Context) error {
	first := &session{trunk: c.trunk, InviteRequest: c.request()}
	if err := first.send(ring, c.id); err != nil {
		return err
	}
	c.mu.Lock()
	c.session = first
	c.mu.Unlock()

	last, enough := context.WithCancelCause(context.WithoutCancel(ring))
	defer c.cancelling.Wait()
	defer enough(nil)
	c.cancelling.Go(func() {
		select {
		case <-ring.Done():
		case <-last.Done():
			return
		}
		c.cancel(last)
		if !c.response.raised() || sleep(last, lastWord) {
			enough(errLastWord)
		}
	})
	var l login
	longer := false // a longer session timer was offered
	for {
		res, err := c.wait(ring, last)
		if err != nil {
			return err
		}
		if res.IsSuccess() {
			c.session.InviteResponse = c.trunk.decide(c.id, res)
			return nil
		}
		next, err := (*sip.Request)(nil), error(nil)
		switch {
		case ring.Err() != nil:
		case challenged(res):
			next, err = l.retry(c.trunk.cfg, c.session.InviteRequest, res)
		case res.StatusCode == statusIntervalTooSmall && !longer:
			longer = true
			next, err = longerTimer(c.session.InviteRequest, res)
		}
		if next == nil {
			c.session.tx.Terminate() // later responses go to handleUnmatched
			return refusal(res, err)
		}
		if err := c.resendInvite(ring, next); err != nil {
			return err
		}
	}
}

// statusIntervalTooSmall rejects a session timer (RFC 4028 §6).
const statusIntervalTooSmall = 422

// refusal returns the error of a refused call. why is the reason for not sending the
// INVITE again, or nil.
func refusal(res *sip.Response, why error) error {
	if why != nil {
		return fmt.Errorf("%w: %w", newStatusError(res), why)
	}
	return newStatusError(res)
}

// resendInvite sends a changed INVITE after a refusal. The old transaction remains, to
// acknowledge retransmissions of the refusal.
func (c *call) resendInvite(ring context.Context, invite *sip.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.InviteRequest = invite
	return c.session.send(ring, c.id)
}

// lastWord bounds the wait for the final response to a cancelled INVITE. late.go
// handles later responses, and a first response after the end of the call.
const lastWord = 8 * time.Second

var (
	errNoConnection = errors.New("no connection to the trunk")
	errLastWord     = errors.New("no response to a CANCEL")
)

// wait returns the final response to the INVITE.
func (c *call) wait(ring, last context.Context) (*sip.Response, error) {
	for tx := c.session.tx; ; {
		select {
		case res := <-tx.Responses():
			c.session.InviteResponse = res
			c.progress(ring, last, res)
			if !res.IsProvisional() {
				return res, nil
			}
		case <-last.Done():
			tx.Terminate()
			return nil, context.Cause(last)
		case <-tx.Done():
			return nil, errors.Join(errors.New("the INVITE was not answered"), unsent(c.session.InviteRequest, tx.Err()))
		}
	}
}

// progress records a response to the INVITE.
func (c *call) progress(ring, last context.Context, res *sip.Response) {
	c.mu.Lock()
	c.proceeding = res.IsProvisional()
	c.mu.Unlock()
	c.response.raise()
	if res.StatusCode > 100 && res.StatusCode < 300 {
		c.ringing.raise()
	}
	if ring.Err() != nil {
		c.cancel(last)
	}
}

// cancel sends a CANCEL, at most once, and only while the INVITE is proceeding. Before
// a provisional response a CANCEL is not allowed (RFC 3261 §9.1). After a challenge the
// transaction is over.
func (c *call) cancel(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.proceeding || c.withdrawn {
		return
	}
	c.withdrawn = true
	req := hopRequest(c.session.InviteRequest, sip.CANCEL, c.session.InviteRequest.To())
	c.cancelling.Go(func() {
		_, _ = c.trunk.client.Do(ctx, req, asItIs) // the final response to the INVITE decides
	})
}

// request returns the INVITE. Its values are digits or were validated with the
// configuration, so they cannot inject headers.
func (c *call) request() *sip.Request {
	cfg := c.trunk.cfg
	req := sip.NewRequest(sip.INVITE, cfg.uri(cfg.dialled(c.message.To.Given)))
	req.SetTransport(strings.ToUpper(cfg.Transport))
	req.SetDestination(cfg.hop())
	from := &sip.FromHeader{Address: cfg.uri(c.caller), Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(from)
	id := sip.CallIDHeader(c.id)
	req.AppendHeader(&id)
	req.AppendHeader(sip.HeaderClone(&c.trunk.contact))
	if c.caller != anonymous {
		identity := cfg.uri(c.caller)
		req.AppendHeader(sip.NewHeader("P-Asserted-Identity", "<"+identity.String()+">"))
	}
	req.AppendHeader(sip.NewHeader("User-Agent", "countersign"))
	req.AppendHeader(sip.NewHeader("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"))
	req.AppendHeader(sip.NewHeader("Supported", "timer"))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.media.Offer().Marshal())
	return req
}

// dialled returns a number in the format of the trunk.
func (c *Config) dialled(number string) string {
	if c.DigitsOnly {
		return number
	}
	return "+" + number
}

// newStatusError returns the parts of a response that may be shown and stored.
func newStatusError(res *sip.Response) *StatusError {
	return &StatusError{
		Status: res.StatusCode, Reason: deliver.Masked(printable(res.Reason, 200), 60),
		RetryAfter: time.Duration(seconds(res, "Retry-After")) * time.Second,
		MinExpires: time.Duration(seconds(res, "Min-Expires")) * time.Second,
	}
}

// printable returns at most limit bytes of external text. Each character outside
// printable ASCII becomes a space.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, text)
	return text[:min(len(text), limit)]
}

// unanswered returns the result of a call that was not answered or was given up.
func (c *call) unanswered(ring context.Context, err error) Result {
	if c.session != nil {
		if res := c.session.InviteResponse; res != nil && res.IsSuccess() {
			// The answer crossed our CANCEL: acknowledge it and hang up.
			ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
			_ = c.session.Ack(ctx) // best effort; the BYE follows
			cancel()
			c.hangUp()
		}
	}
	cause := context.Cause(ring)
	no, refused := errors.AsType[*StatusError](err)
	switch {
	case refused && (cause == nil || no.Status != sip.StatusRequestTerminated):
		return Result{Outcome: outcomeOf(no.Status), Note: no.Error(), Err: err}
	case cause == nil:
		note := "no connection"
		if long, ok := errors.AsType[*tooLongError](err); ok {
			note = long.Error()
		}
		return Result{Outcome: Failed, Note: note, Err: err}
	case !c.response.raised():
		return Result{Outcome: Failed, Note: "no response", Err: cause}
	case errors.Is(cause, errNoAnswer):
		return Result{Outcome: NoAnswer, Note: "no answer", Err: cause}
	}
	return Result{Outcome: Cancelled, Note: "cancelled", Err: cause}
}
