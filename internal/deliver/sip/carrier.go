package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	cfg     Config
	log     *slog.Logger
	trunk   *trunk
	limit   limiter
	metrics *metrics
	errs    deliver.ErrorLog

	ctx   context.Context //nolint:containedctx // of all calls
	stop  context.CancelFunc
	calls sync.WaitGroup
}

var _ deliver.Carrier = (*Carrier)(nil)

// New opens the sockets of a trunk, and begins to register if it is to. The caller
// must Close the carrier.
func New(cfg Config) (*Carrier, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("carrier %s: %w", cfg.Name, err)
	}
	c := &Carrier{cfg: cfg, log: cfg.Log.With("carrier", cfg.Name)}
	c.limit.slots = make(chan struct{}, cfg.MaxCalls)
	if cfg.CallsPerSecond > 0 {
		c.limit.interval = time.Duration(float64(time.Second) / cfg.CallsPerSecond)
	}
	var err error
	if c.trunk, err = openTrunk(&c.cfg, c.log); err != nil {
		return nil, fmt.Errorf("carrier %s: %w", cfg.Name, err)
	}
	c.metrics = newMetrics(cfg.Metrics, c)
	c.ctx, c.stop = context.WithCancel(context.Background())
	if cfg.Register {
		c.calls.Go(func() { c.trunk.register(c.ctx, c.complain) })
	}
	return c, nil
}

// Close ends all calls, and waits for their reports.
func (c *Carrier) Close() error {
	c.stop()
	c.calls.Wait()
	return c.trunk.close()
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
	if m.Channel != verify.TTS {
		return deliver.Submission{}, fmt.Errorf("%w: channel %s", deliver.ErrRefused, m.Channel)
	}
	if err := c.cfg.permits(m); err != nil {
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNumber, err)
	}
	call, err := c.prepare(ctx, m)
	if err != nil {
		return deliver.Submission{}, err
	}
	pause, err := c.limit.enter(time.Now())
	if err != nil {
		return deliver.Submission{}, errors.Join(err, call.media.Close())
	}
	if !sleep(ctx, pause) {
		c.limit.leave()
		return deliver.Submission{}, errors.Join(fmt.Errorf("%w: %w", deliver.ErrNotSent, ctx.Err()), call.media.Close())
	}
	return c.dial(ctx, call)
}

// prepare makes what a call needs before it is dialled: the announcement and the
// ports.
func (c *Carrier) prepare(ctx context.Context, m deliver.Message) (*call, error) {
	sound, err := c.cfg.Speaker.Speak(ctx, m.Script)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
	}
	first, err := c.cfg.Speaker.Speak(ctx, untilCode(m.Script))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
	}
	session, err := c.trunk.media()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
	}
	return &call{
		trunk: c.trunk, id: sip.GenerateTagN(32), message: m, caller: c.callerID(m),
		sound: sound, said: min(first.Duration(), sound.Duration()), media: session,
		ringing: make(chan struct{}), over: make(chan struct{}),
	}, nil
}

// untilCode is a script up to where it has said the code once.
func untilCode(s message.Script) message.Script {
	for i, p := range s.Parts {
		if p.Spell != "" {
			return message.Script{Locale: s.Locale, Parts: s.Parts[:i+1]}
		}
	}
	return s
}

func (c *Carrier) callerID(m deliver.Message) string {
	for _, id := range c.cfg.CallerIDs {
		if id.Country == "" || id.Country == m.Country {
			return id.Number
		}
	}
	if c.cfg.User != "" {
		return c.cfg.User
	}
	return "anonymous"
}

// dial makes a call that goes on when it rings, and returns when that is clear.
func (c *Carrier) dial(ctx context.Context, call *call) (deliver.Submission, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	calling, hangUp := context.WithCancel(c.ctx)
	ended := make(chan result, 1)
	c.calls.Go(func() {
		defer hangUp()
		defer c.limit.leave()
		r := call.run(calling)
		_ = call.media.Close() // the call is over
		c.metrics.ended(r)
		c.log.Info("call ended", "event_id", call.message.EventID.String(), "outcome", string(r.outcome),
			"answered_s", r.answer.Seconds(), "packets", r.stats.Sent.Packets, "note", r.note)
		select {
		case <-call.ringing:
			c.report(call, r)
		default:
			ended <- r
		}
	})
	sub := deliver.Submission{Carrier: c.cfg.Name, Refs: []string{call.id}}
	setup := time.NewTimer(c.cfg.SetupTimeout)
	defer setup.Stop()
	var late error
	select {
	case <-call.ringing:
		return sub, nil
	case r := <-ended:
		return c.ended(call, r)
	case <-setup.C:
		late = fmt.Errorf("%w: no sign of life in %s", deliver.ErrNotSent, c.cfg.SetupTimeout)
	case <-ctx.Done():
		late = fmt.Errorf("%w: %w", deliver.ErrNotSent, ctx.Err())
	}
	hangUp()
	select { // it may have rung just now
	case <-call.ringing:
		return sub, nil
	default:
		return deliver.Submission{}, late
	}
}

// ended is what Send says of a call that ended before the phone rang.
func (c *Carrier) ended(call *call, r result) (deliver.Submission, error) {
	no, refused := errors.AsType[*StatusError](r.err)
	switch {
	case refused && !ofTrunk(no.Status):
		// About the person: another trunk would hear the same.
		c.calls.Go(func() { c.report(call, r) })
		return deliver.Submission{Carrier: c.cfg.Name, Refs: []string{call.id}}, nil
	case refused && no.Status < 500:
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrRefused, r.err)
	}
	return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrNotSent, r.err)
}

// reportTimeout bounds the storing of a report.
const reportTimeout = 10 * time.Second

// report tells how a call ended that Send has returned for.
func (c *Carrier) report(call *call, r result) {
	if c.cfg.Reports.Receipt == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	err := c.cfg.Reports.Receipt(ctx, deliver.Receipt{
		Carrier: c.cfg.Name, Ref: call.id, State: r.outcome.event(), Error: r.note,
	})
	if err != nil {
		c.log.Error("outcome of a call not stored", "event_id", call.message.EventID.String(), "error", err)
	}
}

func (c *Carrier) complain(err error) { c.errs.Add(time.Now(), err) }

// Status tells how the carrier is.
func (c *Carrier) Status() deliver.CarrierStatus {
	return deliver.CarrierStatus{
		InFlight: len(c.limit.slots), Window: cap(c.limit.slots),
		Rate: c.cfg.CallsPerSecond, RateLimit: c.cfg.CallsPerSecond, Errors: c.errs.List(),
	}
}
