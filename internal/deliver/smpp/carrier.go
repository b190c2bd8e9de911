package smpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/verify"
)

// patience limits how long a message waits for its turn or for a throttling
// carrier before it fails over to the next carrier.
const patience = 3 * time.Second

// Carrier submits messages over one or more binds. It is safe for concurrent use.
type Carrier struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	pace    pace
	errs    deliver.ErrorLog

	senders   []*bind // transmitters and transceivers
	receivers []*bind // receivers of mode split
	turn      atomic.Uint32
	reference atomic.Uint32 // concatenation reference of the last message

	stop      context.CancelFunc
	binds     sync.WaitGroup
	reporting chan struct{}
	reports   sync.WaitGroup

	tlvs              []tlv
	references        references
	issued            issued
	asMessage, astray reminder // warnings: receipts in plain messages, and over another address
}

var _ deliver.Carrier = (*Carrier)(nil)

// New returns a carrier that binds in the background. The caller must Close it.
func New(cfg Config) (*Carrier, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("carrier %s: %w", cfg.Name, err)
	}
	tlvs, err := parseTLVs(cfg.TLVs)
	if err != nil {
		return nil, fmt.Errorf("carrier %s: %w", cfg.Name, err)
	}
	c := &Carrier{
		cfg: cfg, log: cfg.Log.With("carrier", cfg.Name), pace: pace{limit: cfg.Rate},
		reporting: make(chan struct{}, maxReporting), references: newReferences(cfg.IDScope, cfg.Addresses), tlvs: tlvs,
	}
	c.reference.Store(randomReference())
	for i := range cfg.Binds {
		switch cfg.Mode {
		case Split:
			t, r := c.newBind(pdu.CommandBindTransmitter, i), c.newBind(pdu.CommandBindReceiver, i)
			if c.references.scoped() { // a receipt over another address would match no message
				t.other, r.other = r, t
			}
			c.senders, c.receivers = append(c.senders, t), append(c.receivers, r)
		case Transmitter:
			c.senders = append(c.senders, c.newBind(pdu.CommandBindTransmitter, i))
		case Transceiver:
			c.senders = append(c.senders, c.newBind(pdu.CommandBindTransceiver, i))
		}
	}
	c.metrics = newMetrics(cfg.Metrics, c)
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	for _, b := range c.all() {
		c.binds.Go(func() { b.run(ctx) })
	}
	return c, nil
}

func (c *Carrier) newBind(kind pdu.Command, address int) *bind {
	return &bind{carrier: c, kind: kind, address: address, since: time.Now()}
}

func (c *Carrier) all() []*bind {
	return append(c.senders[:len(c.senders):len(c.senders)], c.receivers...)
}

// Close unbinds and waits until late responses are stored. Send must have returned.
func (c *Carrier) Close() error {
	c.stop()
	c.binds.Wait()
	c.reports.Wait()
	return nil
}

// Bound waits until a bind that submits is up. If all of them have failed, it
// returns the first error.
func (c *Carrier) Bound(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		failed, up := 0, false
		var first error
		for _, b := range c.senders {
			s, err := b.state()
			up = up || s != nil
			if err != nil {
				failed++
				first = cmp.Or(first, err)
			}
		}
		switch {
		case up:
			return nil
		case failed == len(c.senders):
			return first
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tag identifies the submission to which a late response belongs.
type tag struct {
	id    verify.ID // event ID
	to    string    // destination number
	event verify.EventKey
	part  verify.Part
}

// Send submits a message and waits for the response to each part. The error wraps
// [deliver.ErrRefused] if the carrier refused a part, and [deliver.ErrNotSent] if
// no part was or will be accepted. After any other error the message may have been
// sent.
func (c *Carrier) Send(ctx context.Context, m deliver.Message) (deliver.Submission, error) {
	now := time.Now()
	h := partAttempt{until: now.Add(patience), dead: now.Add(m.ValidFor), failed: new([]error)}
	parts, err := c.compose(m)
	if err != nil {
		return deliver.Submission{}, fmt.Errorf("%w: %w", deliver.ErrRefused, err)
	}
	tags := make([]tag, len(parts))
	refs := make([]string, 0, len(parts))
	for i, body := range parts {
		tags[i] = tag{m.EventID, m.To.Given, m.Event(), verify.Part{Attempt: m.Attempt, Seq: i, Count: len(parts), Carrier: c.cfg.Name}}
		h.body, h.tag = body, &tags[i]
		ref, err := c.submitPart(ctx, h)
		if err != nil {
			c.complain(err)
			return deliver.Submission{}, deliver.Tried(c.brokenOff(ctx, err, tags[:i], refs), *h.failed)
		}
		refs = append(refs, ref)
		h.until, h.rest = h.dead, true
	}
	if c.cfg.NoReceipts || slices.Contains(refs, "") {
		refs = nil
	}
	return deliver.Submission{Carrier: c.cfg.Name, Refs: refs, Segments: c.cfg.Segments(m.Text), Failed: *h.failed}, nil
}

// brokenOff returns the error of a message after the parts in sent were accepted. If
// err is not a refusal, it reports these parts, since the message may be delivered.
func (c *Carrier) brokenOff(ctx context.Context, err error, sent []tag, refs []string) error {
	if len(sent) == 0 || errors.Is(err, deliver.ErrRefused) {
		return err
	}
	for i, t := range sent {
		t.part.Ref, t.part.State = refs[i], verify.EventAccepted
		c.answered(context.WithoutCancel(ctx), t)
	}
	// Not wrapped: ErrNotSent would claim that no part was sent.
	return fmt.Errorf("part %d of %d: %v", len(sent)+1, sent[0].part.Count, err) //nolint:errorlint // see above
}

// partAttempt is the submission of one part of a message during Send.
type partAttempt struct {
	body  *pdu.SubmitSM
	tag   *tag
	until time.Time // latest start of the submission
	dead  time.Time // expiry of the PIN
	rest  bool      // an earlier part was accepted: no failover to another carrier

	failed *[]error // the first 10 failed attempts that were retried
}

// fail records a failed attempt that is retried.
func (h partAttempt) fail(err error) {
	const most = 10
	if len(*h.failed) < most {
		*h.failed = append(*h.failed, err)
	}
}

var errNoBind = errors.New("no bind is up")

// submitPart submits one part until the carrier accepts or finally refuses it. After
// a temporary status it tries the other binds. After the last bind the error wraps
// [deliver.ErrNotSent], so that the router fails over. Later parts of a long message
// are retried with this carrier instead.
func (c *Carrier) submitPart(ctx context.Context, h partAttempt) (ref string, err error) {
	why := errNoBind
	var tried []*session
	for {
		s := c.pick(tried)
		if s == nil {
			if !h.rest || time.Until(h.until) < retryPause {
				return "", fmt.Errorf("%w: %w", deliver.ErrNotSent, why)
			}
			if err := sleep(ctx, retryPause); err != nil {
				return "", fmt.Errorf("%w (%w)", err, why)
			}
			tried = nil
			continue
		}
		ref, err := c.submit(ctx, s, h)
		switch class := classOf(err); {
		case errors.Is(err, errNotWritten):
			h.fail(err) // the session ended before the write: try another
		case class == ClassThrottled:
			c.pace.throttled()
			h.fail(err)
			if time.Until(h.until) < throttlePause {
				return "", fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
			}
			if sleepErr := sleep(ctx, throttlePause); sleepErr != nil {
				return "", fmt.Errorf("%w (%w)", sleepErr, err)
			}
		case class == ClassTemporary, class == ClassBind:
			tried, why = append(tried, s), err
			h.fail(err)
		default:
			return ref, err
		}
	}
}

// submit submits a part over one session. It waits for a slot before it waits for
// its turn: otherwise messages delayed by a full window would exceed the rate
// afterwards.
func (c *Carrier) submit(ctx context.Context, s *session, h partAttempt) (ref string, err error) {
	if err := c.pace.join(h.until); err != nil {
		return "", err
	}
	if err := s.acquireSlot(ctx, h.until); err != nil {
		c.pace.quit()
		return "", err
	}
	defer s.releaseSlot()
	if err := c.pace.wait(ctx, h.until); err != nil {
		return "", err
	}
	began := time.Now()
	if !began.Before(h.dead) {
		return "", fmt.Errorf("%w: code expired", deliver.ErrNotSent)
	}
	h.body.ValidityPeriod = c.cfg.validityPeriod(began, h.dead)
	p, err := s.request(ctx, h.body, h.tag, s.timeout)
	if err == nil {
		err = mismatch(p)
	}
	c.metrics.submitted(time.Since(began), p.Status, err)
	switch {
	case err == nil:
		c.judge(s, h.tag.to, p)
		return c.readResponse(s.address, p)
	case isSessionError(err):
		return "", err
	}
	return "", fmt.Errorf("%w: %w", deliver.ErrRefused, err) // not encodable
}

func isSessionError(err error) bool {
	return errors.Is(err, errNotWritten) || errors.Is(err, errTimeout) || errors.Is(err, errLost) || errors.Is(err, errMalformed)
}

// mismatch returns an error that wraps errMalformed unless p is a submit_sm_resp or a
// generic_nack.
func mismatch(p pdu.PDU) error {
	switch p.Body.(type) {
	case *pdu.SubmitSMResp, *pdu.GenericNack:
		return nil
	}
	return fmt.Errorf("%w: %s", errMalformed, p.Body.Command())
}

// readResponse returns the message id of a response from an address, or the error
// for its status: a bare [*StatusError] if submitPart retries it.
func (c *Carrier) readResponse(address string, p pdu.PDU) (ref string, err error) {
	if body, ok := p.Body.(*pdu.SubmitSMResp); ok && p.Status == pdu.StatusOK {
		return c.accepted(address, body.MessageID.MessageID), nil
	}
	no := &StatusError{p.Status, c.classOf(p)}
	switch no.Class {
	case ClassNumber:
		return "", fmt.Errorf("%w: %w", deliver.ErrNumber, no)
	case ClassFinal:
		return "", fmt.Errorf("%w: %w", deliver.ErrRefused, no)
	case ClassTemporary, ClassThrottled, ClassBind:
	}
	return "", no
}

// pick returns the usable session with the most free slots, except tried; nil if all
// were tried or are down.
func (c *Carrier) pick(tried []*session) *session {
	var best *session
	first := int(c.turn.Add(1))
	for i := range c.senders {
		s := c.senders[(first+i)%len(c.senders)].up()
		if s != nil && !slices.Contains(tried, s) && (best == nil || len(s.slots) < len(best.slots)) {
			best = s
		}
	}
	return best
}

func (c *Carrier) complain(err error) { c.errs.Add(time.Now(), err) }
