package smpp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// Bounds of the exponential back-off between bind attempts. Jitter shortens each
// pause by up to half, so that the nodes do not bind simultaneously.
const (
	firstBackoff = time.Second
	lastBackoff  = 30 * time.Second
)

// bind keeps one session of a carrier bound.
type bind struct {
	carrier *Carrier
	kind    pdu.Command
	other   *bind // other half of a pair that shares an address; nil otherwise

	mu      sync.Mutex
	address int      // index of the next address; a receiver of a pair uses its transmitter's
	session *session // nil while not bound
	since   time.Time
	err     error // reason for being unbound
}

// up returns the session, or nil if it is not usable.
func (b *bind) up() *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil || !b.session.usable() {
		return nil
	}
	return b.session
}

// state returns the session, or nil and the last error if it is not usable.
func (b *bind) state() (*session, error) {
	s := b.up()
	b.mu.Lock()
	defer b.mu.Unlock()
	return s, b.err
}

// run keeps a session bound until ctx is done, then unbinds. It moves to the next
// address after a failed attempt, and after a short session without an accepted
// message.
func (b *bind) run(ctx context.Context) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		address, useful := b.target(), false
		s, err := b.open(ctx, address)
		if err == nil {
			began := time.Now()
			err = b.live(ctx, s)
			worked := worthwhile(s, time.Since(began))
			if worked {
				backoff = firstBackoff
			}
			useful = worked || s.accepted.Load()
		}
		if ctx.Err() != nil {
			return
		}
		b.lost(address, err, useful)
		pause := backoff - time.Duration(rand.Int64N(int64(backoff)/2)) //nolint:gosec // no secret
		if sleep(ctx, pause) != nil {
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// follows reports whether b is a receiver that shares the address of its transmitter.
func (b *bind) follows() bool { return b.other != nil && b.kind == pdu.CommandBindReceiver }

// target returns the address to try next.
func (b *bind) target() string {
	if b.follows() {
		b = b.other
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.carrier.cfg.Addresses[b.address%len(b.carrier.cfg.Addresses)]
}

// align ends the session of the receiver of a pair if the transmitter is bound to
// another address. Each half calls it after binding, in either order.
func (b *bind) align() {
	if b.other == nil {
		return
	}
	receiver, transmitter := b, b.other
	if !b.follows() {
		receiver, transmitter = b.other, b
	}
	r, t := receiver.up(), transmitter.up()
	if r != nil && t != nil && r.address != t.address {
		r.fail(fmt.Errorf("the transmitter is bound to %s", t.address))
	}
}

// worthwhile reports whether the session resets the back-off to firstBackoff. A
// retired session does so only if it accepted messages. Otherwise an SMSC that
// accepts every bind and refuses every message would cause a bind each second.
func worthwhile(s *session, lived time.Duration) bool {
	if s.isRetired() {
		return s.accepted.Load()
	}
	return lived >= lastBackoff
}

// lost records the reason for the loss of a session. The bind keeps its address only
// if the session was useful.
func (b *bind) lost(address string, err error, useful bool) {
	b.mu.Lock()
	b.session, b.err, b.since = nil, err, time.Now()
	if !useful {
		b.address++
	}
	b.mu.Unlock()
	b.carrier.complain(err)
	b.carrier.log.Warn("bind is down", "bind", b.kind.String(), "address", address, "error", err)
}

// live makes the session available for submissions until it ends or ctx is done.
func (b *bind) live(ctx context.Context, s *session) error {
	b.mu.Lock()
	b.session, b.err, b.since = s, nil, time.Now()
	b.mu.Unlock()
	b.carrier.log.Info("bound", "bind", b.kind.String(), "address", s.address)
	b.align()
	select {
	case <-s.ended:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), unbindTimeout)
		defer cancel()
		s.unbind(stop)
	}
	s.loops.Wait()
	err := s.reason()
	if errors.Is(err, errUnusable) {
		b.carrier.metrics.unusable.Inc()
	}
	return err
}

// unbindTimeout limits the wait for unbind_resp.
const unbindTimeout = 2 * time.Second

// open connects to an address and binds.
func (b *bind) open(ctx context.Context, address string) (*session, error) {
	c := b.carrier
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.BindTimeout, errTimeout)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	s, err := b.bind(ctx, conn, address)
	if err != nil {
		return nil, fmt.Errorf("%s to %s: %w", b.kind, address, err)
	}
	return s, nil
}

// StatusError is a response with an error status. Class is the reaction to it; "" for
// a response to another request than submit_sm.
type StatusError struct {
	Status pdu.Status
	Class  Class
}

func (e *StatusError) Error() string { return e.Status.String() }

// Code returns the status: see [deliver.Code].
func (e *StatusError) Code() string { return e.Status.String() }
