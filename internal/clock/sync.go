package clock

import (
	"context"
	"errors"
	"time"
)

// reading is one comparison of the clocks.
type reading struct {
	wall      time.Time
	reference time.Time
	at        time.Duration // Elapsed at the same moment
	within    time.Duration // The largest error of reference: half of the round trip.
}

// beyond returns the part of a difference that the error of the reading cannot explain. A
// loaded database answers late, and its lateness must not move the clock.
func (r reading) beyond(diff time.Duration) time.Duration {
	return diff - min(max(diff, -r.within), r.within)
}

// step is a new difference between reference and steady clock.
type step struct {
	size     time.Duration // 0 without a step
	since    time.Duration // Elapsed when it was detected, or when its size changed
	adopting bool
	loggedAt time.Duration
}

// errTorn indicates a reading that was interrupted or took too long.
var errTorn = errors.New("the reading of the clocks took too long, or a clock was stepped during it")

// Follow makes the clock that read returns the reference, and adopts its time. A call after
// the first only replaces read. It must precede any use of the time. It returns the error
// of read, after which the wall clock remains the reference.
func (s *Steady) Follow(ctx context.Context, read func(context.Context) (time.Time, error)) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.read != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.read = read
		return nil
	}
	r, took, err := s.sample(ctx, read)
	for try := 1; try < firstTries && (err != nil || took > quick); try++ { // a slow reading is better than none
		if next, again, nerr := s.sample(ctx, read); nerr == nil && (err != nil || again < took) {
			r, took, err = next, again, nil
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.read = read
	s.base, s.at, s.owed = r.reference, r.at, 0
	s.mu.Unlock()
	s.observe(r)
	return nil
}

// firstTries bounds the attempts at a first reading of the database's clock that takes at
// most quick. The quickest one is used.
const (
	firstTries = 10
	quick      = time.Millisecond
)

// Run compares the clocks every second until ctx is done. It calls wake when the time has
// moved further than timers did, after a suspension of the machine or an adopted step.
func (s *Steady) Run(ctx context.Context, wake func()) {
	ticker := s.NewTicker(interval)
	defer ticker.Stop()
	before := s.Now()
	for {
		select {
		case <-ticker.Chan():
		case <-ctx.Done():
			return
		}
		s.Sync(ctx)
		now := s.Now()
		if now.Sub(before) > 5*interval {
			wake()
		}
		before = now
	}
}

// Sync compares the clocks once. If the database does not answer, the steady clock
// continues without a reference.
func (s *Steady) Sync(ctx context.Context) {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*interval)
	defer cancel()
	r, took, err := s.sample(ctx, s.read)
	if err == nil && took > slowest {
		err = errTorn
	}
	if err != nil {
		s.cfg.Log.Debug("clock not compared", "error", err)
		return
	}
	s.observe(r)
}

// sample reads all clocks, and returns the duration of the reading. The result applies to
// the middle of that duration. A nil read makes the wall clock the reference.
func (s *Steady) sample(ctx context.Context, read func(context.Context) (time.Time, error)) (reading, time.Duration, error) {
	var reference time.Time
	began, wall := s.cfg.Elapsed(), s.wall()
	if read != nil {
		var err error
		if reference, err = read(ctx); err != nil {
			return reading{}, 0, err
		}
	}
	walked := s.wall().Sub(wall)
	took := s.cfg.Elapsed() - began
	if (walked - took).Abs() > torn {
		return reading{}, 0, errTorn
	}
	wall = wall.Add(walked / 2)
	if read == nil {
		reference = wall
	}
	return reading{wall: wall, reference: reference.Round(0).UTC(), at: began + took/2, within: took / 2}, took, nil
}

// note is a warning to be logged.
type note struct {
	text string
	args []any
}

// observe applies a reading and logs the changes. It logs after it has released mu: a
// slow log must not delay Now.
func (s *Steady) observe(r reading) {
	s.mu.Lock()
	s.apply(r)
	notes := s.notes
	s.notes = nil
	s.mu.Unlock()
	for _, n := range notes {
		s.cfg.Log.Warn(n.text, n.args...)
	}
}

// warn logs a warning after mu is released. The caller holds mu, here and below.
func (s *Steady) warn(text string, args ...any) { s.notes = append(s.notes, note{text, args}) }

func (s *Steady) apply(r reading) {
	s.last = r
	e := s.anchor()
	diff := r.reference.Add(e - r.at).Sub(s.base)
	expected := s.step.size
	if s.step.adopting {
		expected = s.owed
	}
	switch {
	case diff.Abs() <= smallest:
		s.endStep()
		s.owed, s.share = r.beyond(diff), followShare
	case (diff - expected).Abs() > smallest:
		s.detected(diff, e)
	case !s.step.adopting && e-s.step.since >= adoptAfter:
		s.adopt(diff, e)
	}
	s.compareWall(e)
}

// detected begins the wait of adoptAfter for a step.
func (s *Steady) detected(diff, e time.Duration) {
	loggedAt := s.step.loggedAt
	repeated := s.step.size != 0 && e-loggedAt < time.Minute
	if !repeated {
		loggedAt = e
		s.steps++
		s.warn("the "+s.source()+" was stepped; waits, due times and lifetimes continue unchanged",
			"direction", direction(diff), "step", rounded(diff),
			"adopted_after", adoptAfter.String(), "remedy", "correct the clock; restart to adopt its time immediately")
	}
	s.owed, s.share = 0, followShare
	s.step = step{size: diff, since: e, loggedAt: loggedAt}
}

// adopt follows a step that has lasted for adoptAfter.
func (s *Steady) adopt(diff, e time.Duration) {
	args := []any{"direction", direction(diff), "step", rounded(diff)}
	if diff.Abs() <= gradual {
		s.owed, s.share, s.step.adopting = diff, adoptShare, true
		s.warn("adopting the step of the "+s.source()+" gradually; waits are off by up to 10 %",
			append(args, "takes", (diff.Abs()*adoptShare).Round(time.Second).String())...)
		return
	}
	s.base, s.owed, s.step, s.jumpedAt = s.base.Add(diff), 0, step{}, e
	s.warn("adopted the step of the "+s.source()+"; waits that began before it end too early or too late", args...)
}

// endStep ends a step after its difference has disappeared.
func (s *Steady) endStep() {
	switch {
	case s.step.adopting:
		s.warn("adopted the step of the " + s.source())
	case s.step.size != 0:
		s.warn("the step of the "+s.source()+" was reverted", "direction", direction(s.step.size), "step", rounded(s.step.size))
	}
	s.step = step{}
}

// source returns the name of the reference.
func (s *Steady) source() string {
	if s.read != nil {
		return "database's clock"
	}
	return "wall clock"
}

func direction(d time.Duration) string {
	if d < 0 {
		return "backward"
	}
	return "forward"
}

// rounded returns the absolute value of d for messages.
func rounded(d time.Duration) string { return d.Abs().Round(100 * time.Millisecond).String() }
