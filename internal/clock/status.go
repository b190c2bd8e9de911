package clock

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultMaxSkew is the default of Config.MaxSkew.
	DefaultMaxSkew = 5 * time.Second
	// doubtful is the largest difference between clocks that agree, see Doubt.
	doubtful = 5 * time.Second
	// WarnSkew is the smallest difference between wall clock and database that is logged.
	WarnSkew = time.Second
	// remindAfter is the time between two warnings of the same skew.
	remindAfter = time.Hour
	// pause is the time without due steps after an immediate adoption of a step of the
	// database's clock. In that time every other node adopts it and renews its leases.
	pause = 10 * time.Second
)

// Disagreement is the error for two clocks that differ by too much.
type Disagreement struct {
	Clock, Other string        // names of the clocks
	Ahead        time.Duration // Lead of Clock over Other, negative if it is behind.
	Limit        time.Duration
}

func (d *Disagreement) Error() string {
	relation := "ahead of"
	if d.Ahead < 0 {
		relation = "behind"
	}
	return fmt.Sprintf("the %s is %s %s the %s; at most %v is allowed", d.Clock, rounded(d.Ahead), relation, d.Other, d.Limit)
}

// Doubt returns nil if the wall clock, the steady clock and, with a database, the
// database's clock agree within 5 s, and a *Disagreement otherwise. It reads the wall clock
// at the time of the call. It returns nil again once a step is adopted.
func (s *Steady) Doubt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, wall := s.cfg.Elapsed(), s.wall()
	now, reference := s.now(e), s.last.reference.Add(e-s.last.at)
	pairs := []Disagreement{{Clock: "wall clock", Other: "steady clock", Ahead: wall.Sub(now)}}
	if s.read != nil {
		pairs = append(pairs,
			Disagreement{Clock: "database's clock", Other: "steady clock", Ahead: reference.Sub(now)},
			Disagreement{Clock: "wall clock", Other: "database's clock", Ahead: wall.Sub(reference)})
	}
	for _, d := range pairs {
		if d.Ahead.Abs() > doubtful {
			d.Limit = doubtful
			return &d
		}
	}
	return nil
}

// Status is the state of the clocks at the last comparison.
type Status struct {
	// Skew is the local wall clock minus the reference: the database's clock, or without
	// a database the steady clock.
	Skew time.Duration
	// Step is the reference minus the steady clock, if that difference is a step which is
	// not completely adopted; otherwise 0.
	Step time.Duration
	// Since is the time at which the step was detected; zero without a step.
	Since time.Time
	// Steps is the number of steps detected since the start.
	Steps int
}

// Status returns the state of the clocks at the last comparison.
func (s *Steady) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Skew: s.skew(), Steps: s.steps}
	if s.step.size != 0 {
		st.Step = s.step.size
		if s.step.adopting {
			st.Step = s.owed - s.slewed(s.cfg.Elapsed())
		}
		st.Since = s.base.Add(s.step.since - s.at)
	}
	return st
}

// skew returns Status.Skew. The caller holds mu.
func (s *Steady) skew() time.Duration {
	if s.read != nil {
		return s.last.wall.Sub(s.last.reference)
	}
	return s.last.wall.Sub(s.now(s.last.at))
}

// Skewed returns a *Disagreement if the local wall clock differs from the database's by
// more than Config.MaxSkew. Without a database it returns nil.
func (s *Steady) Skewed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beyond(s.cfg.MaxSkew)
}

func (s *Steady) beyond(limit time.Duration) error {
	if s.read == nil || s.skew().Abs() <= limit {
		return nil
	}
	return &Disagreement{Clock: "local wall clock", Other: "database's clock", Ahead: s.skew(), Limit: limit}
}

// Hold returns an error while this node must take no due steps. It returns the error of
// Skewed. It also returns an error for 10 s after the adoption of a step of more than 1 h of
// the database's clock. In that time, another node may not have adopted the step yet, and
// its leases would seem to have ended.
func (s *Steady) Hold() error {
	if err := s.Skewed(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.jumpedAt + pause - s.cfg.Elapsed(); s.read != nil && s.jumpedAt != 0 && left > 0 {
		return fmt.Errorf("a step of the database's clock was adopted; due steps resume in %v", left.Round(time.Second))
	}
	return nil
}

// skewed is the state of the warnings about skew.
type skewed struct {
	warned   bool          // the present difference was logged
	beyond   bool          // more than MaxSkew was logged
	ever     bool          // warnedAt is set
	warnedAt time.Duration // Elapsed at the last warning, also of a difference before this one
}

// compareWall logs a difference between wall clock and database: when it begins, when it
// exceeds MaxSkew, every hour, and when it ends. The caller holds mu.
func (s *Steady) compareWall(e time.Duration) {
	if s.read == nil {
		return
	}
	skew, beyond := s.skew(), s.beyond(s.cfg.MaxSkew) != nil
	args := []any{"difference", rounded(skew), "wall_clock", relation(skew), "max_skew", s.cfg.MaxSkew.String()}
	switch w := &s.skewed; {
	case skew.Abs() < WarnSkew && w.warned:
		w.warned, w.beyond = false, false
		s.warn("the local wall clock agrees with the database's clock again")
	case beyond && !w.beyond:
		w.warned, w.beyond, w.ever, w.warnedAt = true, true, true, e
		s.warn("the local wall clock differs from the database's clock; this node is not ready and takes no due steps until it is corrected", args...)
	case skew.Abs() >= WarnSkew && (!w.ever || e-w.warnedAt >= remindAfter):
		w.warned, w.ever, w.warnedAt = true, true, e
		s.warn("the local wall clock differs from the database's clock; check the time synchronization of this machine", args...)
	case !beyond && w.beyond:
		w.beyond = false
		s.warn("the local wall clock is within clock.max_skew of the database's clock again; this node is ready and takes due steps", args...)
	}
}

func relation(skew time.Duration) string {
	if skew < 0 {
		return "behind"
	}
	return "ahead"
}

// Register adds the metrics of the clock to reg.
func (s *Steady) Register(reg prometheus.Registerer) {
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_clock_skew_seconds",
			Help: "Local wall clock minus reference: the clock of the PostgreSQL server, or with SQLite the steady clock of the process.",
		}, func() float64 { return s.Status().Skew.Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "countersign_clock_pending_step_seconds",
			Help: "Part of a detected step of the reference clock that is not adopted; 0 without a step.",
		}, func() float64 { return s.Status().Step.Seconds() }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "countersign_clock_steps_total",
			Help: "Detected steps of the reference clock of more than 1 s.",
		}, func() float64 { return float64(s.Status().Steps) }),
	)
}
