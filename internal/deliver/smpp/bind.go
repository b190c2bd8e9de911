package smpp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// The pause before a lost bind is tried again: it doubles from the first to the
// last, and a random part of up to half of it is left out, so that not all nodes
// come back at once.
const (
	firstBackoff = time.Second
	lastBackoff  = 30 * time.Second
)

// bind keeps one session of a carrier up.
type bind struct {
	carrier *Carrier
	kind    pdu.Command
	address int // index of the next address to try

	mu      sync.Mutex
	session *session // nil while there is none
	since   time.Time
	err     error // why there is none
}

// up is the session, if it can be used.
func (b *bind) up() *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == nil || !b.session.usable() {
		return nil
	}
	return b.session
}

// state is the session, if it can be used, or why there is none.
func (b *bind) state() (*session, error) {
	s := b.up()
	b.mu.Lock()
	defer b.mu.Unlock()
	return s, b.err
}

// run binds, again and again, until ctx ends; then it unbinds.
func (b *bind) run(ctx context.Context) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		s, err := b.open(ctx)
		if err == nil {
			began := time.Now()
			err = b.live(ctx, s)
			if time.Since(began) >= lastBackoff {
				backoff = firstBackoff
			}
		}
		if ctx.Err() != nil {
			return
		}
		b.lost(err)
		pause := backoff - time.Duration(rand.Int64N(int64(backoff)/2)) //nolint:gosec // no secret
		if sleep(ctx, pause) != nil {
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

func (b *bind) lost(err error) {
	b.mu.Lock()
	b.session, b.err, b.since = nil, err, time.Now()
	b.mu.Unlock()
	b.carrier.complain(err)
	b.carrier.log.Warn("bind is down", "bind", b.kind.String(), "error", err)
}

// live has the session used until it ends or ctx does.
func (b *bind) live(ctx context.Context, s *session) error {
	b.mu.Lock()
	b.session, b.err, b.since = s, nil, time.Now()
	b.mu.Unlock()
	b.carrier.log.Info("bound", "bind", b.kind.String())
	select {
	case <-s.ended:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), unbindTimeout)
		defer cancel()
		s.unbind(stop)
	}
	s.loops.Wait()
	return s.reason()
}

// unbindTimeout bounds the goodbye.
const unbindTimeout = 2 * time.Second

// open connects to the next address and binds.
func (b *bind) open(ctx context.Context) (*session, error) {
	c := b.carrier
	address := c.cfg.Addresses[b.address%len(c.cfg.Addresses)]
	b.address++
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.BindTimeout, errTimeout)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	s, err := b.bind(ctx, conn)
	if err != nil {
		_ = conn.Close() // the first error tells more
		return nil, fmt.Errorf("%s to %s: %w", b.kind, address, err)
	}
	return s, nil
}

// bind sends the bind request on a new connection and waits for its response.
func (b *bind) bind(ctx context.Context, conn net.Conn) (*session, error) {
	cfg := &b.carrier.cfg
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request, err := pdu.Append(nil, pdu.PDU{Sequence: 1, Body: &pdu.Bind{
		Kind: b.kind, SystemID: cfg.SystemID, Password: cfg.Password, SystemType: cfg.SystemType,
		InterfaceVersion: pdu.Version34, AddressRange: cfg.AddressRange,
	}})
	if err != nil {
		return nil, err
	}
	reader := pdu.NewReader(conn)
	var p pdu.PDU
	if _, err = conn.Write(request); err == nil {
		p, err = reader.Next()
	}
	switch {
	case !stop(): // and not what it has done to the connection
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case p.Status != pdu.StatusOK:
		return nil, &StatusError{p.Status}
	case p.Body.Command() != b.kind.Response():
		return nil, fmt.Errorf("answered with %s", p.Body.Command())
	}
	s := newSession(conn, reader, cfg.Window)
	s.timeout, s.enquire = cfg.ResponseTimeout, cfg.EnquireInterval
	s.handle, s.late, s.stray = b.carrier.handle, b.carrier.late, b.carrier.metrics.stray.Inc
	s.start()
	return s, nil
}

// StatusError is a response that says no.
type StatusError struct{ Status pdu.Status }

func (e *StatusError) Error() string { return e.Status.String() }
