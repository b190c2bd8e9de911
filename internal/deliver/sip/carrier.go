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

// Carrier makes calls over one trunk. Its methods may be called from many
// goroutines.
type Carrier struct {
	cfg          Config
	log          *slog.Logger
	trunk        *trunk
	registration *registration // nil if it does not register
	limit        limiter
	metrics      *metrics
	errs         deliver.ErrorLog

	talking     context.Context //nolint:containedctx // of calls that were answered
	stopTalking context.CancelFunc
	dialling    context.Context //nolint:containedctx // of what is not a call yet; it ends first
	stopDialing context.CancelFunc
	calls       sync.WaitGroup

	mu     sync.Mutex
	closed bool // no call begins any more
}

var _ deliver.Carrier = (*Carrier)(nil)

// Channels returns the channels of the messages that the carrier takes.
func Channels() []verify.Channel { return []verify.Channel{verify.TTS} }

// New opens the sockets of a trunk, and begins to register if it is to. The caller
// must Close the carrier.
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

// farewell is how long a carrier that closes waits for the answers to its BYEs and
// CANCELs.
const farewell = 2 * time.Second

// Close ends all calls, and waits for their reports.
func (c *Carrier) Close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Shutdown(ended)
}

// Shutdown ends the calls that ring, lets those that were answered come to their
// end until ctx ends, and waits for their reports.
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
	err := c.trunk.close() // which ends what still waits for an answer
	<-over
	return err
}

// Send dials, and returns when the phone rings or was answered, or when neither
// will happen. How the call ends is reported as a receipt. The error wraps
// [deliver.ErrRefused] when the trunk turned the call down and [deliver.ErrNotSent]
// when it is broken; then the phone did not ring, and another trunk may try.
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

// enter takes a place for a call to a number. pause is how long to wait before
// dialling.
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

// prepare makes what a call needs before it is dialled: the announcement and the
// ports.
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

// untilCode is a script up to where it has said the code once.
func untilCode(s message.Script) message.Script {
	for i, p := range s.Parts {
		if p.Spell != "" {
			s.Parts = s.Parts[:i+1]
			return s
		}
	}
	return s
}

// anonymous is the caller where the configuration names none (RFC 3323 §4.1.1.3).
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

// What becomes of a call while Send waits for it. Whoever is first decides: Send,
// that takes or abandons it, or the call, that ends.
const (
	pending   int32 = iota
	taken           // Send has said that the call is under way: its end is reported
	abandoned       // Send has said that it is not: its end is of no interest
	ended           // Send is told how
)

// progress is how long Send waits for the ringing after the trunk has said that it
// is at it. Abroad that takes its time; the router gives a carrier 10 s.
const progress = 8 * time.Second

// dial makes a call that goes on when it rings, and returns when that is clear.
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

// begin lets the call be made, unless the carrier is closed.
func (c *Carrier) begin(call *call, end chan<- Result) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.calls.Go(func() { c.placeCall(call, end) })
	}
	return !c.closed
}

// placeCall places the call, waits for its end and reports the result: to Send while
// it waits, afterwards as a receipt.
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

// accept makes Send return: the call is with the trunk, and its end is a receipt.
func (c *Carrier) accept(call *call, end <-chan Result) (deliver.Submission, error) {
	if !call.fate.CompareAndSwap(pending, taken) {
		return c.earlyResult(call, <-end)
	}
	return deliver.Submission{Carrier: c.cfg.Name, Refs: []string{call.id}}, nil
}

// abandon gives up on a call that does not ring. If it rings later it is cancelled,
// and hung up on if somebody answers.
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
		// About the person: another trunk would hear the same.
		c.report(call, r)
		return deliver.Submission{Carrier: c.cfg.Name, Refs: []string{call.id}}, nil
	case refused && !temporary(no.Status), long:
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrRefused, r.Err)
	}
	return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, r.Err)
}

// reportTimeout bounds the storing of a report.
const reportTimeout = 10 * time.Second

// report tells how a call ended that Send has returned for.
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

// Status tells how the carrier is.
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
