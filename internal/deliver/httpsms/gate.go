package httpsms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/deliver"
)

// maxWait limits how long a message waits for its turn and a slot. After it, another
// carrier may be faster.
const maxWait = 3 * time.Second

// gate limits the rate and concurrency of messages to a gateway, and pauses them at the
// gateway's request.
type gate struct {
	interval time.Duration // minimum time between messages; 0 for no limit
	slots    chan struct{} // one token for each running request

	mu     sync.Mutex
	next   time.Time // turn of the next message
	paused time.Time // end of the pause
}

// pass waits for the turn of a message and for a slot. On success the caller must call
// leave. It returns an error that wraps [deliver.ErrNotSent] if that takes longer than
// limit or maxWait, or ctx is done.
func (t *gate) pass(ctx context.Context, limit time.Duration) error {
	limit = min(limit, maxWait)
	wait, ok := t.turn(time.Now(), limit)
	if !ok {
		return fmt.Errorf("%w: rate limit or pause: turn is more than %v away", deliver.ErrNotSent, limit.Round(time.Millisecond))
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
		return fmt.Errorf("%w: limit of %d concurrent requests reached", deliver.ErrNotSent, cap(t.slots))
	case <-ctx.Done():
		return fmt.Errorf("%w: limit of %d concurrent requests reached: %w", deliver.ErrNotSent, cap(t.slots), ctx.Err())
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

// calls tracks running goroutines, and starts no more after close.
type calls struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

var errClosed = errors.New("gateway is closed")

// run starts f in a goroutine. After close it returns errClosed.
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
	go func() { // ends with the last call, which Close may abort
		c.wg.Wait()
		close(done)
	}()
	return done
}
