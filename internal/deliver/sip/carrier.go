package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver"
	"countersign/internal/message"
	"countersign/internal/verify"
)

// Carrier places calls over one trunk. Its methods are safe for concurrent use.
type Carrier struct {
	cfg          Config
	log          *slog.Logger
	trunk        *trunk
	registration *registration // nil unless Config.Register is set
	limit        limiter
	metrics      *metrics
	errs         deliver.ErrorLog

	talking     context.Context //nolint:containedctx // parent of all calls
	stopTalking context.CancelFunc
	dialling    context.Context //nolint:containedctx // unanswered calls and the registration; ends before talking
	stopDialing context.CancelFunc
	calls       sync.WaitGroup

	mu     sync.Mutex
	closed bool // new calls are refused
}

var _ deliver.Carrier = (*Carrier)(nil)

// Channels returns the supported channels.
func Channels() []verify.Channel { return []verify.Channel{verify.TTS} }

// New opens the sockets of a trunk and starts its registration if [Config.Register] is
// set. The caller must Close the carrier.
func New(cfg Config) (*Carrier, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("carrier %s: %w", cfg.Name, err)
	}
	c := &Carrier{cfg: cfg, log: cfg.Log.With("carrier", cfg.Name), metrics: newMetrics()}
	c.limit.slots = make(chan struct{}, cfg.MaxCalls)
	if cfg.CallsPerSecond > 0 {
		c.limit.interval = time.Duration(float64(time.Second) / cfg.CallsPerSecond)
	}
	var err error
	if c.trunk, err = openTrunk(&c.cfg, c.log, c.metrics); err != nil {
		return nil, fmt.Errorf("carrier %s: %w", cfg.Name, err)
	}
	c.metrics.register(cfg.Metrics, c)
	c.talking, c.stopTalking = context.WithCancel(context.Background())
	c.dialling, c.stopDialing = context.WithCancel(c.talking)
	if cfg.Register {
		c.registration = newRegistration(c.trunk, c.complain)
		c.calls.Go(func() { c.registration.run(c.dialling) })
	}
	return c, nil
}

// farewell bounds the wait for the responses to BYE and CANCEL during shutdown.
const farewell = 2 * time.Second

// Close ends all calls and waits for their reports.
func (c *Carrier) Close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Shutdown(ended)
}

// Shutdown cancels unanswered calls, lets answered calls finish until ctx is done, then
// ends them, and waits for the reports of all.
func (c *Carrier) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stopDialing()
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.calls.Wait()
	}()
	select {
	case <-over:
	case <-ctx.Done():
		c.stopTalking()
		select {
		case <-over:
		case <-time.After(farewell):
		}
	}
	c.stopTalking()
	err := c.trunk.close() // ends all pending transactions
	<-over
	return err
}

// Send dials, and returns when the phone rings, the call is answered, or neither can
// happen any more. It also returns after the duration progress if the trunk has
// responded. The outcome of the call is reported as a receipt. The error wraps
// [deliver.ErrRefused] if the trunk refused the call and [deliver.ErrNotSent] if the
// trunk failed. In both cases the phone did not ring and another trunk may be tried.
func (c *Carrier) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	sub, err := c.send(ctx, m)
	if err != nil {
		c.complain(err)
	}
	return sub, err
}

func (c *Carrier) send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	if !slices.Contains(Channels(), m.Channel) {
		return deliver.Submission{}, fmt.Errorf("%w: channel %s", deliver.ErrRefused, m.Channel)
	}
	if err := c.cfg.permits(m); err != nil {
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNumber, err)
	}
	pause, err := c.enter(m.To.Given)
	if err != nil {
		return deliver.Submission{}, err
	}
	call, err := c.prepare(ctx, m)
	if err != nil {
		c.leave(m.To.Given)
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
	}
	if !sleep(ctx, pause) {
		c.leave(m.To.Given)
		return deliver.Submission{}, errors.Join(fmt.Errorf("%w: %w", deliver.ErrNotSent, ctx.Err()), call.media.Close())
	}
	return c.dial(ctx, call)
}

// enter acquires the slots of a call to a number. The caller must wait for pause
// before it dials.
func (c *Carrier) enter(number string) (pause time.Duration, err error) {
	if err := c.cfg.Prefixes.enter(number); err != nil {
		return 0, err
	}
	if pause, err = c.limit.enter(time.Now()); err != nil {
		c.cfg.Prefixes.leave(number)
	}
	return pause, err
}

func (c *Carrier) leave(number string) {
	c.limit.leave()
	c.cfg.Prefixes.leave(number)
}

// prepare synthesises the announcement and opens the RTP ports of a call.
func (c *Carrier) prepare(ctx context.Context, m deliver.Message) (*call, error) {
	sound, err := c.cfg.Speaker.Speak(ctx, m.Script)
	if err != nil {
		return nil, err
	}
	first, err := c.cfg.Speaker.Speak(ctx, untilCode(m.Script))
	if err != nil {
		return nil, err
	}
	session, err := c.trunk.media()
	if err != nil {
		return nil, err
	}
	return &call{
		trunk: c.trunk, id: sip.GenerateTagN(32), message: m, caller: c.callerID(m),
		sound: sound, once: min(first.Duration(), sound.Duration()), media: session,
		response: newSignal(), ringing: newSignal(), giveUp: newSignal(), over: make(chan struct{}),
		sdp: newDescriptions(), acks: map[uint32]chan *sip.Request{},
	}, nil
}

// untilCode returns the script up to the end of the first code.
func untilCode(s message.Script) message.Script {
	for i, p := range s.Parts {
		if p.Spell != "" {
			s.Parts = s.Parts[:i+1]
			return s
		}
	}
	return s
}

// anonymous is the caller if the configuration has neither a caller ID nor a user
// (RFC 3323 §4.1.1.3).
const anonymous = "anonymous"

func (c *Carrier) callerID(m deliver.Message) string {
	for _, id := range c.cfg.CallerIDs {
		if id.Country == "" || id.Country == m.To.Country {
			return c.cfg.dialled(id.Number)
		}
	}
	if c.cfg.User != "" {
		return c.cfg.User
	}
	return anonymous
}

// The fate of a call, which is set once: by Send, or by the end of the call.
const (
	pending   int32 = iota
	taken           // Send returned success: the outcome is reported as a receipt
	abandoned       // Send returned an error: the outcome is not reported
	ended           // the call ended first: Send returns its result
)

// progress bounds the wait of Send for ringing, from the start of dialling, if the
// trunk responded. Calls abroad ring late. The router allows a carrier 10 s.
const progress = 8 * time.Second

// dial places a prepared call and returns the result of Send.
func (c *Carrier) dial(ctx context.Context, call *call) (deliver.Submission, error) {
	end := make(chan Result, 1)
	if !c.begin(call, end) {
		c.leave(call.message.To.Given)
		return deliver.Submission{}, errors.Join(fmt.Errorf("%w: stopping", deliver.ErrNotSent), call.media.Close())
	}
	first, slow := time.NewTimer(c.cfg.FirstResponse), time.NewTimer(progress)
	defer first.Stop()
	defer slow.Stop()
	response := call.response.c
	for {
		select {
		case <-call.ringing.c:
			return c.accept(call, end)
		case r := <-end:
			return c.earlyResult(call, r)
		case <-response:
			response = nil
			first.Stop()
		case <-first.C:
			return c.abandon(call, end, fmt.Errorf("no response in %s", c.cfg.FirstResponse))
		case <-slow.C:
			return c.accept(call, end)
		case <-ctx.Done():
			return c.abandon(call, end, ctx.Err())
		}
	}
}

// begin starts the call and returns true, unless the carrier is closed.
func (c *Carrier) begin(call *call, end chan<- Result) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.calls.Go(func() { c.placeCall(call, end) })
	}
	return !c.closed
}

// placeCall places the call, waits for its end and reports the result: to Send if it
// is still waiting, otherwise as a receipt.
func (c *Carrier) placeCall(call *call, end chan<- Result) {
	defer c.leave(call.message.To.Given)
	stop := context.AfterFunc(c.dialling, call.giveUp.raise)
	r := call.run(c.talking)
	stop()
	_ = call.media.Close() // the call is over
	c.metrics.ended(r)
	c.log.Info("call ended", "event_id", call.message.EventID.String(), "outcome", string(r.Outcome), "state", string(r.event()),
		"talked_s", r.Talked.Seconds(), "packets", r.Stats.Sent.Packets, "received", r.Stats.Received.Packets, "note", r.Note)
	if c.cfg.Ended != nil {
		c.cfg.Ended(call.message, r)
	}
	if call.fate.CompareAndSwap(pending, ended) {
		end <- r
	} else if call.fate.Load() == taken {
		c.report(call, r)
	}
}

// accept returns success for a call whose outcome becomes a receipt.
func (c *Carrier) accept(call *call, end <-chan Result) (deliver.Submission, error) {
	if !call.fate.CompareAndSwap(pending, taken) {
		return c.earlyResult(call, <-end)
	}
	return deliver.Submission{Carrier: c.cfg.Name, Refs: []string{call.id}}, nil
}

// abandon stops waiting for a call that does not ring. If it rings later, it is
// cancelled; if it is answered, it is ended with a BYE.
func (c *Carrier) abandon(call *call, end <-chan Result, why error) (deliver.Submission, error) {
	if !call.fate.CompareAndSwap(pending, abandoned) {
		return c.earlyResult(call, <-end)
	}
	call.giveUp.raise()
	return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, why)
}

// earlyResult returns the result of Send for a call that ended during Send.
func (c *Carrier) earlyResult(call *call, r Result) (deliver.Submission, error) {
	no, refused := errors.AsType[*StatusError](r.Err)
	_, long := errors.AsType[*tooLongError](r.Err)
	switch {
	case call.ringing.raised(), refused && !ofTrunk(no.Status):
		// The callee decided: another trunk would get the same response.
		c.report(call, r)
		return deliver.Submission{Carrier: c.cfg.Name, Refs: []string{call.id}}, nil
	case refused && !temporary(no.Status), long:
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrRefused, r.Err)
	}
	return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, r.Err)
}

// reportTimeout bounds the storing of a report.
const reportTimeout = 10 * time.Second

// report sends the receipt of a call for which Send has returned.
func (c *Carrier) report(call *call, r Result) {
	if c.cfg.Reports.Receipt == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	err := c.cfg.Reports.Receipt(ctx, deliver.Receipt{
		Carrier: c.cfg.Name, Ref: call.id, State: r.event(), Error: r.Note,
	})
	if err != nil {
		c.log.Error("outcome of a call not stored", "event_id", call.message.EventID.String(), "error", err)
	}
}

func (c *Carrier) complain(err error) { c.errs.Add(time.Now(), err) }

// Status returns calls in flight, limits, recent errors and the registration.
func (c *Carrier) Status() deliver.CarrierStatus {
	s := deliver.CarrierStatus{
		InFlight: len(c.limit.slots), Window: cap(c.limit.slots),
		Rate: c.cfg.CallsPerSecond, RateLimit: c.cfg.CallsPerSecond, Errors: c.errs.List(),
	}
	if c.registration != nil {
		s.Binds = []deliver.BindStatus{c.registration.status()}
	}
	return s
}
