package httpsms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/deliver"
)

// maxWait bounds how long a message waits for its turn. After it, another carrier
// may be quicker.
const maxWait = 3 * time.Second

// gate keeps the messages to a gateway at their distance, and the gateway alone
// while it asks for that.
type gate struct {
	interval time.Duration // between two messages; 0 for none
	slots    chan struct{} // holds one token for each request that runs

	mu     sync.Mutex
	next   time.Time // turn of the next message
	paused time.Time // no turn is before it
}

// pass returns when it is a message's turn: then leave must be called. The message is
// not sent when its turn does not come within limit, nor while ctx lasts.
func (t *gate) pass(ctx context.Context, limit time.Duration) error {
	limit = min(limit, maxWait)
	wait, ok := t.turn(time.Now(), limit)
	if !ok {
		return fmt.Errorf("%w: its turn is more than %v away", deliver.ErrNotSent, limit.Round(time.Millisecond))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	if wait > 0 {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: waiting for its turn: %w", deliver.ErrNotSent, ctx.Err())
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", deliver.ErrNotSent, err)
	}
	select {
	case t.slots <- struct{}{}:
		return nil
	default:
	}
	timer.Reset(limit - wait)
	select {
	case t.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: %d requests run already", deliver.ErrNotSent, cap(t.slots))
	case <-ctx.Done():
		return fmt.Errorf("%w: %d requests run already: %w", deliver.ErrNotSent, cap(t.slots), ctx.Err())
	}
}

func (t *gate) leave() { <-t.slots }

func (t *gate) turn(now time.Time, limit time.Duration) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := now
	for _, bound := range []time.Time{t.next, t.paused} {
		if bound.After(at) {
			at = bound
		}
	}
	wait = at.Sub(now)
	if wait > limit {
		return 0, false
	}
	if t.interval > 0 {
		t.next = at.Add(t.interval)
	}
	return wait, true
}

func (t *gate) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(d); until.After(t.paused) {
		t.paused = until
	}
}

// calls counts what runs, until it is closed.
type calls struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

var errClosed = errors.New("gateway is closed")

// run starts f on a goroutine that wait waits for.
func (c *calls) run(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.wg.Go(f)
	return nil
}

func (c *calls) close() <-chan struct{} {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last call, whom Close makes end
		c.wg.Wait()
		close(done)
	}()
	return done
}
