package task_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe records the times of its runs. It runs inside a synctest bubble: time advances only
// while all goroutines wait.
type probe struct {
	mu   sync.Mutex
	born time.Time
	runs []time.Duration // after the start
	log  bytes.Buffer
}

// watch starts a runner. Its run n, from 0, returns next(n); nil means the zero time.
func watch(t *testing.T, maxSleep time.Duration, next func(run int) (time.Time, error)) (*task.Runner, *probe) {
	t.Helper()
	p := &probe{born: time.Now()}
	r := task.New(task.Config{
		Name: "probe", Clock: clockwork.NewRealClock(), MaxSleep: maxSleep,
		Log: slog.New(slog.NewTextHandler(&p.log, nil)),
		Run: func(context.Context) (time.Time, error) {
			p.mu.Lock()
			run := len(p.runs)
			p.runs = append(p.runs, time.Since(p.born))
			p.mu.Unlock()
			if next == nil {
				return time.Time{}, nil
			}
			return next(run)
		},
	})
	r.Start()
	t.Cleanup(r.Stop)
	synctest.Wait()
	return r, p
}

// in is the time s seconds after the start.
func (p *probe) in(s int) time.Time { return p.born.Add(time.Duration(s) * time.Second) }

// pass lets s seconds pass, up to and with what happens then.
func pass(s int) {
	await.Pass(time.Duration(s) * time.Second)
}

func (p *probe) want(t *testing.T, seconds ...int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var want []time.Duration
	for _, s := range seconds {
		want = append(want, time.Duration(s)*time.Second)
	}
	if !slices.Equal(p.runs, want) {
		t.Errorf("after %v it ran at %v, want %v", time.Since(p.born), p.runs, want)
	}
}

func TestRunner(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		test func(*testing.T)
	}{
		{"RunsAtOnce", func(t *testing.T) {
			_, p := watch(t, time.Hour, nil)
			p.want(t, 0)
		}},
		{"SleepsUntilNext", func(t *testing.T) {
			start := time.Now()
			_, p := watch(t, time.Hour, func(run int) (time.Time, error) {
				if run > 1 {
					return time.Time{}, nil
				}
				return start.Add([]time.Duration{10 * time.Second, 15 * time.Second}[run]), nil
			})
			pass(9)
			p.want(t, 0)
			pass(1)
			p.want(t, 0, 10)
			pass(90)
			p.want(t, 0, 10, 15)
		}},
		{"MaxSleep", func(t *testing.T) {
			start := time.Now()
			_, p := watch(t, time.Minute, func(run int) (time.Time, error) {
				if run == 1 {
					return start.Add(24 * time.Hour), nil
				}
				return time.Time{}, nil
			})
			pass(150)
			p.want(t, 0, 60, 120)
		}},
		{"WakeEarlier", func(t *testing.T) {
			r, p := watch(t, time.Hour, nil)
			pass(5)
			r.Wake(p.in(7)) // during the sleep: a run follows immediately
			synctest.Wait()
			p.want(t, 0, 5)
			r.Wake(p.in(1)) // in the past
			synctest.Wait()
			p.want(t, 0, 5, 5)
		}},
		{"WakeLaterDoesNothing", func(t *testing.T) {
			start := time.Now()
			r, p := watch(t, time.Hour, func(run int) (time.Time, error) {
				if run == 0 {
					return start.Add(10 * time.Second), nil
				}
				return time.Time{}, nil
			})
			r.Wake(p.in(10))
			r.Wake(p.in(11))
			pass(9)
			p.want(t, 0)
			pass(1)
			p.want(t, 0, 10)
		}},
		{"ManyWakesAreOneRun", func(t *testing.T) {
			r, p := watch(t, time.Hour, func(int) (time.Time, error) {
				time.Sleep(time.Second) //nolint:forbidigo // virtual, in a bubble
				return time.Time{}, nil
			})
			for range 1000 {
				r.Wake(p.in(0))
			}
			pass(10)
			p.want(t, 0, 1)
		}},
		{"WakeWhileWorking", func(t *testing.T) {
			// It may have looked already when the row came, so it looks again.
			start := time.Now()
			r, p := watch(t, time.Hour, func(run int) (time.Time, error) {
				if run == 0 {
					time.Sleep(5 * time.Second) //nolint:forbidigo // virtual, in a bubble
				}
				return time.Time{}, nil
			})
			pass(2)
			r.Wake(start.Add(time.Minute))
			pass(2)
			p.want(t, 0)
			pass(1)
			p.want(t, 0, 5)
			pass(1000)
			p.want(t, 0, 5)
		}},
		{"RetriesAfterError", func(t *testing.T) {
			start := time.Now()
			_, p := watch(t, time.Hour, func(run int) (time.Time, error) {
				if run < 3 {
					return start.Add(30 * time.Minute), fmt.Errorf("error %d", run)
				}
				return time.Time{}, nil
			})
			pass(600)
			p.want(t, 0, 1, 2, 3)
			for _, want := range []string{"level=ERROR", "task=probe", `error="error 0"`, `error="error 2"`} {
				if got := p.log.String(); !strings.Contains(got, want) {
					t.Errorf("the log lacks %q: %s", want, got)
				}
			}
		}},
		{"StopsTwice", func(t *testing.T) {
			r, p := watch(t, time.Hour, nil)
			r.Stop()
			r.Stop()
			r.Wake(p.in(1))
			pass(7200)
			p.want(t, 0)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, tt.test)
		})
	}
}

// TestStopBeforeStart: Stop returns immediately before Start.
func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	task.New(task.Config{Name: "idle", Clock: clockwork.NewRealClock(), Log: slog.New(slog.DiscardHandler)}).Stop()
}

// TestStopWaits: Stop cancels the context of the current run and waits for its end. The error
// of a canceled run is not logged.
func TestStopWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var ended time.Time
		r := task.New(task.Config{
			Name: "slow", Clock: clockwork.NewRealClock(), MaxSleep: time.Hour,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Run: func(ctx context.Context) (time.Time, error) {
				<-ctx.Done()
				time.Sleep(3 * time.Second) //nolint:forbidigo // virtual, in a bubble: the last of its work
				ended = time.Now()
				return time.Time{}, errors.Join(ctx.Err(), errors.New("cut short"))
			},
		})
		r.Start()
		synctest.Wait()
		begun := time.Now()
		r.Stop()
		if ended.IsZero() || time.Since(begun) != 3*time.Second {
			t.Errorf("Stop returned after %v, when the run had ended: %v", time.Since(begun), !ended.IsZero())
		}
		if log.Len() > 0 {
			t.Errorf("the error of a canceled run was logged: %s", log.String())
		}
	})
}

// TestNeverTwiceAtOnce: concurrent wake-ups never cause overlapping runs.
func TestNeverTwiceAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		runs := 0
		r := task.New(task.Config{
			Name: "busy", Clock: clockwork.NewRealClock(), MaxSleep: time.Hour, Log: slog.New(slog.DiscardHandler),
			Run: func(context.Context) (time.Time, error) {
				if !mu.TryLock() {
					t.Error("two runs overlap")
					return time.Time{}, nil
				}
				defer mu.Unlock()
				time.Sleep(time.Second) //nolint:forbidigo // virtual, in a bubble
				runs++
				return time.Time{}, nil
			},
		})
		r.Start()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 10 {
					r.Wake(time.Now())
					time.Sleep(300 * time.Millisecond) //nolint:forbidigo // virtual, in a bubble
				}
			})
		}
		wg.Wait()
		r.Stop()
		if runs < 3 || runs > 5 {
			t.Errorf("%d runs of a second each in 3 s", runs)
		}
	})
}
