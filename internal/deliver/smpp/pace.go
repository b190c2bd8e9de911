package smpp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"countersign/internal/deliver"
)

// The reaction to a carrier that says "too fast": halve the rate, but no more
// than once in slowEvery, since all messages under way come back with the same
// answer, and not below slowest of the full rate, or one message a second; then
// grow by a steady share of the full rate, to have it back in recovery.
const (
	slowEvery = 500 * time.Millisecond
	slowest   = 1.0 / 20
	recovery  = 20 * time.Second

	// throttlePause is how long a message waits that was turned away as one too
	// many.
	throttlePause = 200 * time.Millisecond

	// retryPause is the time between two tries of a later part of a long message
	// that no bind takes.
	retryPause = 200 * time.Millisecond
)

var errNoTurn = fmt.Errorf("%w: over the rate of the carrier", deliver.ErrNotSent)

// pace spreads messages evenly over time, no faster than limit and than the
// carrier puts up with.
type pace struct {
	limit float64 // messages a second; 0 is no limit

	mu      sync.Mutex
	waiting int       // messages that have no turn yet
	next    time.Time // when the next message may go
	full    float64   // the rate to recover to, while slowed
	rate    float64   // at slowed
	slowed  time.Time // when the rate was last cut; zero while it is full

	// counted since began, to know the rate of a carrier without a limit.
	began   time.Time
	counted int
	recent  float64
}

// current is the rate at now, 0 for no limit. The caller holds p.mu.
func (p *pace) current(now time.Time) float64 {
	if p.slowed.IsZero() {
		return p.limit
	}
	rate := p.rate + p.full*now.Sub(p.slowed).Seconds()/recovery.Seconds()
	if rate >= p.full {
		p.slowed = time.Time{}
		return p.limit
	}
	return rate
}

// Rate is the rate in force, 0 for no limit.
func (p *pace) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current(time.Now())
}

// throttled slows down.
func (p *pace) throttled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.slowed) < slowEvery {
		return
	}
	rate := p.current(now)
	if p.slowed.IsZero() {
		if p.full = p.limit; p.full == 0 {
			p.full = max(p.recent, float64(p.counted), 2)
		}
		if rate == 0 {
			rate = p.full
		}
	}
	p.rate, p.slowed = max(rate/2, p.full*slowest, 1), now
}

// join counts a message that is to have its turn before until. When so many wait
// for theirs that it would not, join returns at once: another carrier may have
// room. Otherwise wait or quit must follow.
func (p *pace) join(until time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 || !p.slowed.IsZero() {
		now := time.Now()
		if rate := p.current(now); rate > 0 && p.turn(now).Add(every(rate, p.waiting)).After(until) {
			return errNoTurn
		}
	}
	p.waiting++
	return nil
}

func (p *pace) quit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
}

// wait waits for the turn of a message, unless that is after until.
func (p *pace) wait(ctx context.Context, until time.Time) error {
	pause, err := p.reserve(until)
	if err != nil || pause <= 0 {
		return err
	}
	return sleep(ctx, pause)
}

func (p *pace) reserve(until time.Time) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	now := time.Now()
	p.count(now)
	rate := p.current(now)
	if rate == 0 {
		return 0, nil
	}
	turn := p.turn(now)
	if turn.After(until) {
		return 0, errNoTurn
	}
	p.next = turn.Add(every(rate, 1))
	return turn.Sub(now), nil
}

// turn is when the next message may go. The caller holds p.mu.
func (p *pace) turn(now time.Time) time.Time {
	if p.next.Before(now) {
		return now
	}
	return p.next
}

// every is how long n messages take.
func every(rate float64, n int) time.Duration {
	return time.Duration(float64(n) * float64(time.Second) / rate)
}

func (p *pace) count(now time.Time) {
	if now.Sub(p.began) >= time.Second {
		p.recent = float64(p.counted) / max(now.Sub(p.began).Seconds(), 1)
		p.began, p.counted = now, 0
	}
	p.counted++
}

// sleep waits, or returns an error that wraps ErrNotSent when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", deliver.ErrNotSent, ctx.Err())
	}
}
