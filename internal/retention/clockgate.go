package retention

import (
	"context"
	"sync/atomic"
	"time"

	"countersign/internal/store"
)

const (
	// jumpLimit is the longest time between two runs, in either direction, with a trusted
	// clock. A server that was off for longer is suspended for a day, which is harmless.
	jumpLimit = 24 * time.Hour
	// plausibleFor is the running time with a plausible clock that ends a suspension.
	plausibleFor = 24 * time.Hour
	// stepTolerance is the largest plausible difference between the clock and the steady
	// clock from one run to the next.
	stepTolerance = time.Minute
	// remindEvery is the interval of the log line while retention is suspended.
	remindEvery = time.Hour
)

// clockGate decides whether the clock is reliable enough to delete by age. Only the
// goroutine of the job uses it, except for open.
type clockGate struct {
	cfg  Config
	open atomic.Bool // the last decision

	ranAt     time.Time // last run of this process; zero before the first
	suspended bool      // from the shared record at the last run
	toldAt    time.Time // last log line about a suspension; zero without one
}

// judge returns the state after a run at now, from the shared state before it. ran is the
// time since the previous run of this process by the steady clock, 0 for its first.
func judge(s store.RetentionState, now time.Time, ran time.Duration, doubt error) store.RetentionState {
	gap := now.Sub(s.LastRun)
	switch {
	case s.LastRun.IsZero():
	case gap.Abs() > jumpLimit:
		s.Suspended, s.Before, s.After, s.Counted = true, s.LastRun, now, 0
	case !s.Suspended:
	case doubt != nil, gap < -stepTolerance, ran > 0 && gap > ran+stepTolerance:
		s.Counted = 0
	default: // time in which no node ran does not count
		s.Counted += max(0, min(gap, ran))
	}
	s.LastRun = now
	if s.Suspended && s.Counted >= plausibleFor {
		s = store.RetentionState{LastRun: now}
	}
	return s
}

// mayDelete reports whether this run may delete by age, and records the run.
func (g *clockGate) mayDelete(ctx context.Context, clock time.Time) (bool, error) {
	var doubt error
	if g.cfg.Doubt != nil {
		doubt = g.cfg.Doubt()
	}
	if g.open.Load() && doubt == nil && g.justRan(clock) {
		return true, nil
	}
	var ran time.Duration
	if !g.ranAt.IsZero() {
		ran = max(0, clock.Sub(g.ranAt))
	}
	state, err := g.record(ctx, wall(clock), ran, doubt)
	g.open.Store(err == nil && doubt == nil && !state.Suspended)
	if err != nil {
		return false, err
	}
	g.ranAt = clock
	g.logSuspension(state, clock, doubt)
	return g.open.Load(), nil
}

// wall returns the wall clock's time, with the precision of the store.
func wall(clock time.Time) time.Time { return clock.Round(0).UTC().Truncate(time.Millisecond) }

// justRan reports whether the last run is recent by both clocks. During a backlog batches
// follow each other quickly, and one record serves several.
func (g *clockGate) justRan(clock time.Time) bool {
	recent := func(d time.Duration) bool { return d >= 0 && d < every/2 }
	return recent(clock.Sub(g.ranAt)) && recent(wall(clock).Sub(wall(g.ranAt)))
}

func (g *clockGate) record(ctx context.Context, now time.Time, ran time.Duration, doubt error) (state store.RetentionState, err error) {
	before, err := g.cfg.Store.RetentionState(ctx)
	if err != nil {
		return state, err
	}
	var newest time.Time
	if before.LastRun.IsZero() {
		if newest, err = g.cfg.Store.NewestStored(ctx); err != nil {
			return state, err
		}
	}
	err = g.cfg.Store.ChangeRetentionState(ctx, func(s store.RetentionState) (store.RetentionState, error) {
		if s.LastRun.IsZero() {
			s.LastRun = newest
		}
		state = judge(s, now, ran, doubt)
		return state, nil
	})
	return state, err
}

// logSuspension logs a suspension when it begins and once an hour, and its end.
func (g *clockGate) logSuspension(s store.RetentionState, clock time.Time, doubt error) {
	ended := g.suspended && !s.Suspended
	g.suspended = s.Suspended
	if ended {
		g.cfg.Log.Warn("retention resumed: the clock was confirmed, or plausible for a day", "now", s.LastRun)
	}
	if !s.Suspended && doubt == nil {
		g.toldAt = time.Time{}
		return
	}
	// A jump in either direction also ends the hour.
	if since := wall(clock).Sub(wall(g.toldAt)); !g.toldAt.IsZero() && since >= 0 && since < remindEvery {
		return
	}
	g.toldAt = clock
	if !s.Suspended {
		g.cfg.Log.Warn("retention paused: the clock is in doubt; it resumes when the clocks agree", "reason", doubt)
		return
	}
	g.cfg.Log.Warn("retention suspended: the clock jumped; check the time, then run: countersign retention confirm",
		"before", s.Before, "after", s.After, "difference", s.After.Sub(s.Before).String(),
		"resumes_after", (plausibleFor - s.Counted).String())
}
