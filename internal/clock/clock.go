// Package clock provides the time for the program.
//
// A wall clock can be stepped: by an operator, by NTP after a boot without network, by
// the host of a virtual machine. A [Steady] clock continues through such a step. It is a
// reference time plus the time elapsed since, measured by a clock that cannot be stepped.
// The reference is the local wall clock, or the clock of a shared database (see
// [Steady.Follow]). With a database, nodes with different wall clocks agree on leases, due
// times and lifetimes.
//
// [Steady.Run] compares the reference with the steady clock every second:
//
//   - up to 1 s of difference is followed smoothly, by at most 1 % of the elapsed time, as
//     far as it exceeds the error of the reading;
//   - more is a step. The steady clock ignores it until it has lasted for 10 minutes.
//     Then up to 1 h is followed by at most 10 % of the elapsed time, so that a wait is
//     off by at most 10 %, and more is adopted immediately: no wait is that long.
//
// The package does not depend on the database, the engine, or any consumer of the time.
package clock

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// interval is the time between two comparisons with the reference.
	interval = time.Second
	// smallest is the smallest difference that is a step. It exceeds half of the longest
	// accepted round trip, so that a slow answer is never a step.
	smallest = time.Second
	// adoptAfter is the time that a step must last before it is adopted. A wrong clock that is
	// corrected within that time has no effect.
	adoptAfter = 10 * time.Minute
	// gradual is the largest step that is adopted gradually.
	gradual = time.Hour
	// followShare and adoptShare divide the elapsed time; the quotient is the largest
	// correction in that time.
	followShare, adoptShare = 100, 10
	// slowest is the longest round trip of a usable reading of the database's clock.
	slowest = 500 * time.Millisecond
	// torn is the largest difference between wall and elapsed time within one reading.
	// More means that the wall clock was stepped, or the process stopped, in between.
	torn = 200 * time.Millisecond
)

// Config holds the settings of a Steady clock.
type Config struct {
	// Log receives a warning for each step and for each phase of skew. Nil discards them.
	Log *slog.Logger
	// MaxSkew is the largest difference between the local wall clock and the database's
	// clock with which a node is ready. 0 means 5 s.
	MaxSkew time.Duration

	// Wall, Elapsed and Timers are the sources of the time. Nil means the system's.
	// Elapsed must never go backwards; only differences of its values count.
	Wall    func() time.Time
	Elapsed func() time.Duration
	Timers  clockwork.Clock
}

// Steady is a clock that never runs backwards, except when it adopts a backward step of
// more than 1 h. Timers, tickers and sleeps are from the embedded clock, which a step of
// the wall clock does not affect. Make one with New. It is safe for concurrent use.
type Steady struct {
	clockwork.Clock
	cfg Config

	syncing sync.Mutex // held during a comparison with the reference

	mu       sync.Mutex
	base     time.Time     // the time when Elapsed was at
	at       time.Duration // reading of Elapsed
	owed     time.Duration // correction not yet applied
	share    time.Duration // divides the elapsed time, see followShare
	step     step
	steps    int // detected since the start
	last     reading
	skewed   skewed
	notes    []note        // to be logged when mu is released
	jumpedAt time.Duration // Elapsed at the last immediate adoption; 0 before the first

	read func(context.Context) (time.Time, error) // the database's clock; nil without a database
}

// New returns a clock with the time of the wall clock. It follows its reference during Run.
func New(cfg Config) *Steady {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxSkew == 0 {
		cfg.MaxSkew = DefaultMaxSkew
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Elapsed == nil {
		cfg.Elapsed = elapsed
	}
	if cfg.Timers == nil {
		cfg.Timers = clockwork.NewRealClock()
	}
	s := &Steady{Clock: cfg.Timers, cfg: cfg, share: followShare}
	s.base, s.at = s.wall(), s.cfg.Elapsed()
	s.last = reading{wall: s.base, reference: s.base, at: s.at}
	return s
}

// Now returns the time, in UTC and without a monotonic reading of Go's.
func (s *Steady) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now(s.cfg.Elapsed())
}

// Since returns the time elapsed since t.
func (s *Steady) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

// Until returns the time left until t.
func (s *Steady) Until(t time.Time) time.Duration { return t.Sub(s.Now()) }

// Reference returns the best estimate of the true time, for comparisons with the clocks of
// clients. It is Now plus the part of an adopted step that Now still lacks. A step that is
// not adopted has no effect.
func (s *Steady) Reference() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.cfg.Elapsed()
	return s.now(e).Add(s.owed - s.slewed(e))
}

// wall returns the wall clock's time. Round strips Go's monotonic reading, with which a
// difference of two times would not show a step.
func (s *Steady) wall() time.Time { return s.cfg.Wall().Round(0).UTC() }

// now returns the time when Elapsed reads e.
func (s *Steady) now(e time.Duration) time.Time { return s.base.Add(e - s.at + s.slewed(e)) }

// slewed returns the part of the owed correction that is applied when Elapsed reads e.
func (s *Steady) slewed(e time.Duration) time.Duration {
	most := (e - s.at) / s.share
	return min(max(s.owed, -most), most)
}

// anchor moves the base to the present reading of Elapsed, which it returns.
func (s *Steady) anchor() time.Duration {
	e := s.cfg.Elapsed()
	s.base, s.owed, s.at = s.now(e), s.owed-s.slewed(e), e
	return e
}
