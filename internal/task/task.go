// Package task runs periodic work on due rows: the row is the timer. A [Runner] sleeps until
// the earliest row is due, runs the work, and sleeps again. It has no state to restore after
// a crash or a restart.
//
// The package must not know the work or the storage of the rows.
package task

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// Config configures a Runner.
type Config struct {
	Name  string // for the log
	Clock clockwork.Clock
	Log   *slog.Logger

	// Run processes the rows that are due and returns the time at which the next row is due;
	// the zero time if no row is waiting. Calls never overlap.
	Run func(context.Context) (next time.Time, err error)

	// MaxSleep bounds a sleep, since other nodes may add rows.
	MaxSleep time.Duration
}

// retryAfter is the pause after a run that failed.
const retryAfter = time.Second

// Runner calls Config.Run whenever a row is due. The zero value is not usable; call New.
type Runner struct {
	cfg  Config
	wake chan struct{}

	mu    sync.Mutex
	until time.Time // end of the current sleep; zero during a run

	stop context.CancelFunc
	done chan struct{}
}

// New returns a Runner. Start starts it.
func New(cfg Config) *Runner {
	return &Runner{cfg: cfg, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Start starts the loop, which begins with a run. Call it once.
func (r *Runner) Start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.loop(ctx)
}

// Stop cancels the context of the current run, waits for it, and ends the loop. It is
// idempotent, and has no effect before Start.
func (r *Runner) Stop() {
	if r.stop == nil {
		return
	}
	r.stop()
	<-r.done
}

// Wake ends the current sleep if it would last beyond at, the due time of a new row. Calls are
// cheap if the sleep ends earlier.
func (r *Runner) Wake(at time.Time) {
	r.mu.Lock()
	early := r.until.IsZero() || at.Before(r.until)
	r.mu.Unlock()
	if early {
		select {
		case r.wake <- struct{}{}:
		default: // a wake-up is pending
		}
	}
}

func (r *Runner) loop(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		next, err := r.cfg.Run(ctx)
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Error("task failed", "task", r.cfg.Name, "error", err)
			next = r.cfg.Clock.Now().Add(retryAfter)
		}
		r.sleep(ctx, next)
	}
}

func (r *Runner) sleep(ctx context.Context, next time.Time) {
	now := r.cfg.Clock.Now()
	if latest := now.Add(r.cfg.MaxSleep); next.IsZero() || next.After(latest) {
		next = latest
	}
	timer := r.cfg.Clock.NewTimer(next.Sub(now))
	defer timer.Stop()
	r.setUntil(next)
	defer r.setUntil(time.Time{})
	select {
	case <-timer.Chan():
	case <-r.wake:
	case <-ctx.Done():
	}
}

func (r *Runner) setUntil(t time.Time) {
	r.mu.Lock()
	r.until = t
	r.mu.Unlock()
}
