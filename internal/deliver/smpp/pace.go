package smpp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"countersign/internal/deliver"
)

// A throttling status halves the rate. The rate is halved at most once per
// slowEvery, since all messages in flight get the same response. It stays at or above
// the fraction slowest of the full rate and one message per second. It then grows
// linearly and reaches the full rate within recovery.
const (
	slowEvery = 500 * time.Millisecond
	slowest   = 1.0 / 20
	recovery  = 20 * time.Second

	// throttlePause is the pause before a throttled message is retried.
	throttlePause = 200 * time.Millisecond

	// retryPause is the pause between attempts to submit a later part of a long
	// message.
	retryPause = 200 * time.Millisecond
)

var errNoTurn = fmt.Errorf("%w: rate limit of the carrier reached", deliver.ErrNotSent)

// pace spaces messages evenly at the rate limit, or more slowly after throttling.
type pace struct {
	limit float64 // messages per second; 0 for no limit

	mu      sync.Mutex
	waiting int       // messages without a reserved turn
	next    time.Time // next turn
	full    float64   // rate at the end of the recovery
	rate    float64   // rate at the time slowed
	slowed  time.Time // time of the last reduction; zero at the full rate

	// Messages counted since began, to measure the rate of a carrier without a limit.
	began   time.Time
	counted int
	recent  float64
}

// current returns the rate at now; 0 for no limit. The caller holds p.mu.
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

// Rate returns the current rate in messages per second; 0 for no limit.
func (p *pace) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current(time.Now())
}

// throttled halves the rate after a throttling status.
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

// join counts a message as waiting. It returns errNoTurn if the messages that already
// wait would delay the turn beyond until, so that the router fails over immediately.
// Otherwise the caller must call wait or quit.
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

// wait waits for the turn of a message. It returns errNoTurn if the turn is after
// until.
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

// turn returns the time of the next turn. The caller holds p.mu.
func (p *pace) turn(now time.Time) time.Time {
	if p.next.Before(now) {
		return now
	}
	return p.next
}

// every returns the time for n messages at a rate.
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

// sleep waits for d. It returns an error that wraps ErrNotSent if ctx is done first.
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
