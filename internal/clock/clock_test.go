package clock_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/clock"
)

// machine has the clocks of one machine and of its database. The clocks run together;
// tests step them.
type machine struct {
	*clock.Steady
	t *testing.T

	mu       sync.Mutex
	elapsed  time.Duration
	wall     time.Duration // difference to the true time
	database time.Duration // difference to the true time
	trip     time.Duration // time that reading the database's clock takes
	late     time.Duration // time that its answer takes beyond that
	down     error         // error of the database
	log      bytes.Buffer
}

var epoch = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, elapsed: 1000 * time.Hour}
	m.start()
	return m
}

func (m *machine) start() {
	m.Steady = clock.New(clock.Config{
		Log:    slog.New(slog.NewTextHandler(&m.log, nil)),
		Timers: clockwork.NewFakeClock(),
		Elapsed: func() time.Duration {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.elapsed
		},
		Wall: func() time.Time { return m.true().Add(m.wall) },
	})
}

func (m *machine) true() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return epoch.Add(m.elapsed - 1000*time.Hour)
}

func (m *machine) readDatabase(context.Context) (time.Time, error) {
	m.mu.Lock()
	m.elapsed += m.trip / 2
	m.mu.Unlock()
	at := m.true().Add(m.database)
	m.mu.Lock()
	m.elapsed += m.trip - m.trip/2 + m.late
	m.mu.Unlock()
	return at, m.down
}

func (m *machine) follow() {
	m.t.Helper()
	if err := m.Follow(m.t.Context(), m.readDatabase); err != nil {
		m.t.Fatal(err)
	}
}

// run advances the time, and fails if the clock runs backwards.
func (m *machine) run(d time.Duration) {
	m.t.Helper()
	for before := m.Now(); d > 0; d -= time.Second {
		m.mu.Lock()
		m.elapsed += time.Second
		m.mu.Unlock()
		m.Sync(m.t.Context())
		if now := m.Now(); now.Before(before) {
			m.t.Fatalf("the clock ran backwards from %v to %v", before, now)
		} else {
			before = now
		}
	}
}

// off fails unless the clock is ahead of the true time by want, within 20 ms.
func (m *machine) off(want time.Duration) {
	m.t.Helper()
	if got := m.Now().Sub(m.true()); (got - want).Abs() > 20*time.Millisecond {
		m.t.Errorf("the clock is %v ahead of the true time, want %v", got, want)
	}
}

// logged fails unless exactly these texts were logged, in this order, since the last call.
func (m *machine) logged(want ...string) {
	m.t.Helper()
	lines := strings.Split(strings.TrimSuffix(m.log.String(), "\n"), "\n")
	if m.log.Len() == 0 {
		lines = nil
	}
	m.log.Reset()
	if len(lines) != len(want) {
		m.t.Fatalf("logged %d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
	for i, line := range lines {
		for part := range strings.SplitSeq(want[i], "|") {
			if !strings.Contains(line, "level=WARN") || !strings.Contains(line, part) {
				m.t.Errorf("line %d does not contain %q: %s", i, part, line)
			}
		}
	}
}

func (m *machine) doubts(want string) {
	m.t.Helper()
	err := m.Doubt()
	if want == "" {
		if err != nil {
			m.t.Errorf("Doubt: %v", err)
		}
		return
	}
	var d *clock.Disagreement
	if !errors.As(err, &d) || !strings.Contains(err.Error(), want) {
		m.t.Errorf("Doubt: %v, want %q", err, want)
	}
}

// A step that is reverted within adoptAfter has no effect.
func TestStepReverted(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{2 * time.Second, time.Hour, -time.Hour, 400 * day, -400 * day} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.run(10 * time.Second)
			m.doubts("")
			m.wall += step
			m.off(0)
			if step.Abs() > 5*time.Second {
				m.doubts("the wall clock is " + step.Abs().String()) // before the next comparison
			}
			m.run(100 * time.Second)
			m.off(0)
			m.logged("the wall clock was stepped|step=" + step.Abs().String() + "|direction=" + map[bool]string{true: "forward", false: "backward"}[step > 0])
			if st := m.Status(); st.Step != step || st.Skew != step || st.Steps != 1 || st.Since.Sub(epoch) != 11*time.Second {
				t.Errorf("Status: %+v", st)
			}
			m.wall -= step
			m.run(time.Second)
			m.logged("the step of the wall clock was reverted")
			m.run(time.Hour)
			m.off(0)
			m.doubts("")
			m.logged()
			if st := m.Status(); st != (clock.Status{Steps: 1}) {
				t.Errorf("Status: %+v", st)
			}
		})
	}
}

// A step that lasts is adopted: gradually up to 1 h, otherwise immediately.
func TestStepAdopted(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{5 * time.Second, -5 * time.Second, time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.wall += step
			m.run(10 * time.Minute)
			m.off(0)
			m.logged("was stepped")
			m.run(30 * time.Second) // 1 s to 2 s later the adoption begins
			m.logged("adopting the step of the wall clock gradually|takes=" + (10 * step.Abs()).String())
			if got := m.Now().Sub(m.true()).Abs(); got < 2800*time.Millisecond || got > 3*time.Second {
				t.Errorf("after 30 s, %v is adopted, want 10 %%", got)
			}
			if got := m.Reference().Sub(m.true()); got != step {
				t.Errorf("Reference is %v ahead, want %v", got, step)
			}
			m.run(10*step.Abs() + 2*time.Minute)
			m.off(step)
			m.logged("adopted the step of the wall clock")
			m.doubts("")
		})
	}
	for _, step := range []time.Duration{2 * time.Hour, 400 * day, 20_000 * day} {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.wall += step
			m.run(10 * time.Minute)
			m.off(0)
			m.run(2 * time.Second)
			m.off(step)
			m.logged("was stepped", "adopted the step of the wall clock; waits")
			m.doubts("")
			if err := m.Hold(); err != nil {
				t.Errorf("Hold without a database: %v", err)
			}
		})
	}
	t.Run("backward", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.wall -= 400 * day
		m.run(10 * time.Minute)
		m.wall -= time.Minute // a different step: adoptAfter restarts
		m.run(5 * time.Minute)
		m.off(0)
		m.logged("was stepped|step=9600h0m0s", "was stepped|step=9600h1m0s")
	})
}

// Small differences are followed by 1 % of the elapsed time, in both directions.
func TestSmallDifference(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{900 * time.Millisecond, -900 * time.Millisecond} {
		m := newMachine(t)
		m.wall += d
		m.run(51 * time.Second) // the first comparison is after 1 s
		m.off(d * 5 / 9)
		m.run(time.Minute)
		m.off(d)
		m.logged()
	}
}

// A slow round trip does not move the clock: its error is larger than the difference. A
// quick one does.
func TestJitter(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.follow()
	m.late = 200 * time.Millisecond // the answer takes that long, the request no time
	m.run(time.Minute)
	if got := m.Now().Sub(m.true()); got != 0 {
		t.Errorf("the clock moved by %v", got)
	}
	m.late, m.database = 0, 200*time.Millisecond
	m.run(21 * time.Second)
	m.off(200 * time.Millisecond)
	m.logged()
}

// A machine that was suspended has made no step.
func TestSuspension(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.mu.Lock()
	m.elapsed += 8 * time.Hour
	m.mu.Unlock()
	m.run(time.Minute)
	m.off(0)
	m.logged()
}

// With a database, its clock is the time, and the wall clock only a reason to warn.
func TestDatabase(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.wall, m.trip = time.Hour, 300*time.Millisecond
	m.start()
	m.follow()
	m.off(0)
	m.logged("the local wall clock differs from the database's clock; this node is not ready|difference=1h0m0s|wall_clock=ahead")
	m.doubts("the wall clock is 1h0m0s ahead of the steady clock")
	for _, err := range []error{m.Skewed(), m.Hold()} {
		if err == nil || err.Error() != "the local wall clock is 1h0m0s ahead of the database's clock; at most 5s is allowed" {
			t.Errorf("got %v", err)
		}
	}
	m.run(100 * time.Minute) // 130 with the round trips
	m.off(0)
	m.logged("check the time synchronization", "check the time synchronization") // one each hour
	m.wall = -3 * time.Second
	m.run(time.Second)
	m.logged("is within clock.max_skew|difference=3s|wall_clock=behind")
	if err := errors.Join(m.Skewed(), m.Hold()); err != nil {
		t.Error(err)
	}
	m.wall = 100 * time.Millisecond
	m.run(time.Second)
	m.logged("agrees with the database's clock again")
	m.doubts("")
	m.wall = 2 * time.Second // less than an hour after the last warning
	m.run(time.Minute)
	m.logged()
	m.off(0)
	if st := m.Status(); st.Skew != 2*time.Second || st.Step != 0 || st.Steps != 0 {
		t.Errorf("Status: %+v", st)
	}
}

// A step of the database's clock is treated like one of the wall clock. After an adoption
// of many hours, no node takes due steps for 10 s.
func TestDatabaseStep(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.follow()
	m.run(time.Minute)
	m.wall, m.database = 3*time.Hour, 3*time.Hour // one machine
	m.run(5 * time.Minute)
	m.off(0)
	m.logged("the database's clock was stepped|step=3h0m0s")
	m.doubts("the wall clock is 3h0m0s ahead of the steady clock")
	if err := errors.Join(m.Skewed(), m.Hold()); err != nil {
		t.Error(err)
	}
	m.run(5*time.Minute + time.Second)
	m.off(3 * time.Hour)
	m.logged("adopted the step of the database's clock; waits")
	if err := m.Hold(); err == nil || !strings.Contains(err.Error(), "due steps resume in 10s") {
		t.Errorf("Hold: %v", err)
	}
	if err := m.Skewed(); err != nil {
		t.Error(err)
	}
	m.run(11 * time.Second)
	if err := m.Hold(); err != nil {
		t.Error(err)
	}
}

// Unreliable readings, and a database that does not answer, have no effect.
func TestUnusableReadings(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.down = errors.New("connection refused")
	if err := m.Follow(t.Context(), m.readDatabase); err == nil {
		t.Fatal("Follow succeeded without a database")
	}
	m.off(0)
	m.down, m.trip, m.database = nil, time.Second, time.Minute
	m.wall = time.Minute
	m.follow() // the first reading may be slow
	m.off(time.Minute)
	m.logged()
	m.database = time.Hour
	m.run(time.Minute) // too slow
	m.off(time.Minute)
	m.trip, m.down = 0, errors.New("connection refused")
	m.run(time.Minute)
	m.off(time.Minute)
	m.logged()
	m.down = nil
	m.run(time.Second)
	m.logged("the database's clock was stepped", "the local wall clock differs")
	m.off(time.Minute)
}

// Run compares the clocks every second, and wakes the sleeper after a suspension.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timers := clockwork.NewFakeClock()
		var suspended sync.Map
		began := timers.Now()
		s := clock.New(clock.Config{
			Timers: timers, Wall: func() time.Time { return timers.Now() },
			Elapsed: func() time.Duration {
				extra, _ := suspended.LoadOrStore("for", time.Duration(0))
				return timers.Since(began) + extra.(time.Duration)
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		woken, done := make(chan struct{}, 1), make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx, func() { woken <- struct{}{} })
		}()
		synctest.Wait() // for its next comparison
		suspended.Store("for", time.Hour)
		timers.Advance(time.Second)
		<-woken
		if s.Status().Steps == 0 { // the wall clock here did not advance
			t.Error("the suspension was not detected as a step of the wall clock")
		}
		stop()
		<-done
	})
}

// The system's sources form a clock.
func TestSystem(t *testing.T) {
	t.Parallel()
	s := clock.New(clock.Config{})
	before := time.Now().Round(0)
	a := s.Now()
	s.Sync(t.Context())
	b := s.Now()
	if a.Sub(before).Abs() > time.Minute || b.Before(a) {
		t.Errorf("wall %v, then %v and %v", before, a, b)
	}
	if err := s.Doubt(); err != nil {
		t.Error(err)
	}
	if s.Since(a) < 0 || s.Until(a) > 0 {
		t.Error("Since and Until do not fit Now")
	}
}
