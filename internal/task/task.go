// Package task runs work that rows in a database ask for at a certain time: "the
// row is the timer" (design.md §4.1). A [Runner] sleeps until the earliest row
// falls due, has it worked on, and sleeps again; after a crash or a restart
// there is nothing to restore.
//
// The package must not know what the work is, nor where the rows lie.
package task

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// Config says what a Runner runs.
type Config struct {
	Name  string // for the log
	Clock clockwork.Clock
	Log   *slog.Logger

	// Run works on what is due now and returns when the next row falls due; the
	// zero time means that none will. It is never called twice at once.
	Run func(context.Context) (next time.Time, err error)

	// MaxSleep bounds a sleep, for rows that others may have added.
	MaxSleep time.Duration
}

// retryAfter is the pause after a run that failed.
const retryAfter = time.Second

// Runner calls Config.Run whenever something falls due. The zero value is not
// usable; make one with New.
type Runner struct {
	cfg  Config
	wake chan struct{}

	mu    sync.Mutex
	until time.Time // end of the present sleep; zero while it works

	stop context.CancelFunc
	done chan struct{}
}

// New returns a Runner that waits to be started.
func New(cfg Config) *Runner {
	return &Runner{cfg: cfg, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Start runs the loop until Stop. What is due already is worked on at once.
func (r *Runner) Start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.loop(ctx)
}

// Stop ends the loop and waits for the run under way. It may be called more than
// once. Before Start it has no effect.
func (r *Runner) Stop() {
	if r.stop == nil {
		return
	}
	r.stop()
	<-r.done
}

// Wake tells the runner that something falls due at a time that it may not know
// of. Calls are cheap while it sleeps no longer than that anyway.
func (r *Runner) Wake(at time.Time) {
	r.mu.Lock()
	early := r.until.IsZero() || at.Before(r.until)
	r.mu.Unlock()
	if early {
		select {
		case r.wake <- struct{}{}:
		default: // somebody woke it already
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
