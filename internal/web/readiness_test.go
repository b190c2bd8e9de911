package web_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/await"
	"countersign/internal/web"
)

var (
	errBroken = errors.New("broken")
	errDamage = errors.New("page 7 is damaged")
)

// readiness is a Readiness on a database that the test breaks. Its clock is that of the
// synctest bubble.
type readiness struct {
	*web.Readiness
	t        *testing.T
	reg      *prometheus.Registry
	log      bytes.Buffer
	draining bool
	probe    error
	verify   atomic.Pointer[error]
	hang     chan struct{} // blocks probes until closed; nil for no block
}

func newReadiness(t *testing.T) *readiness {
	r := &readiness{t: t, reg: prometheus.NewRegistry()}
	r.Readiness = web.NewReadiness(web.ReadinessConfig{
		Draining: func() bool { return r.draining },
		Probe: func(context.Context) error {
			if r.hang != nil {
				<-r.hang
			}
			return r.probe
		},
		Verify: func(context.Context) error {
			if err := r.verify.Load(); err != nil {
				return *err
			}
			return nil
		},
		Damage: func(err error) bool { return errors.Is(err, errDamage) },
		Clock:  clockwork.NewRealClock(), Log: slog.New(slog.NewTextHandler(&r.log, nil)), Metrics: r.reg,
	})
	t.Cleanup(r.Stop)
	return r
}

// report adds outcomes: "." for a success, "x" for a failure.
func (r *readiness) report(name, outcomes string) {
	for _, o := range outcomes {
		if o == '.' {
			r.Report(name, nil)
		} else {
			r.Report(name, errBroken)
		}
	}
}

// want checks the readiness; reason is "" for ready.
func (r *readiness) want(reason string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second)
	defer cancel()
	err := r.Ready(ctx)
	if (err == nil) != (reason == "") || err != nil && !strings.Contains(err.Error(), reason) {
		r.t.Errorf("Ready = %v, want %q", err, reason)
	}
	families, gatherErr := r.reg.Gather()
	if gatherErr != nil || len(families) != 1 || families[0].GetName() != "countersign_ready" {
		r.t.Fatalf("metrics %v, %v", families, gatherErr)
	}
	if ready := families[0].GetMetric()[0].GetGauge().GetValue() == 1; ready != (reason == "") {
		r.t.Errorf("countersign_ready is %v, want %v", ready, reason == "")
	}
}

func TestReadinessByOutcomes(t *testing.T) {
	t.Parallel()
	const fails = "start fails: broken"
	for _, tt := range []struct {
		name, outcomes, reason string
	}{
		{"none", "", ""},
		{"all well", "....................", ""},
		{"one request that always fails, of a hundred", strings.Repeat(".", 50) + "x" + strings.Repeat(".", 49), ""},
		{"the same request again and again among others", strings.Repeat("..x", 40), ""},
		{"two failures", "xx", ""},
		{"all fail", "xxx", fails},
		{"all fail from now on", "....................xxxxx", fails},
		{"nine of ten fail", ".xxxxxxxxx", fails},
		{"half of the last ten fail", "x.....xxxx", fails},
		{"one succeeds after failures", "xxx.", fails},
		{"half succeed after failures", "xxx...", fails},
		{"more than half succeed after failures", "xxx....", ""},
		{"most succeed again", "xxxxxxxxxx.......", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReadiness(t)
				r.report("start", tt.outcomes)
				r.report("search", "....................") // other operations have no effect on it
				r.want(tt.reason)
			})
		})
	}
}

// TestReadinessTriesAgain checks that traffic resumes after a pause, and its first
// outcome decides.
func TestReadinessTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		r.report("start", "xxx")
		for _, pause := range []string{"2s", "4s", "8s", "16s", "32s", "1m", "1m"} {
			d, err := time.ParseDuration(pause)
			if err != nil {
				t.Fatal(err)
			}
			await.Pass(d - time.Second)
			r.want("start fails")
			await.Pass(time.Second)
			r.want("")
			r.report("start", "x")
			r.want("start fails")
		}
		await.Pass(time.Minute)
		r.want("")
		r.report("start", ".xx") // recovered, so two failures are not enough
		r.want("")
		if n := strings.Count(r.log.String(), "level=WARN"); n != 8 {
			t.Errorf("%d warnings, want one for each change:\n%s", n, &r.log)
		}
		if n := strings.Count(r.log.String(), `msg="ready again"`); n != 8 {
			t.Errorf("ready again %d times, want one for each change:\n%s", n, &r.log)
		}
	})
}

func TestReadinessForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		r.report("start", "xx")
		await.Pass(5*time.Minute + 1)
		r.report("start", "xx")
		r.want("")
		await.Pass(5 * time.Minute)
		r.report("start", "x") // the other two still count
		r.want("start fails")
	})
}

func TestReadinessByProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		r.probe = errBroken
		r.want("broken")
		r.probe = nil
		r.want("")
		r.draining = true
		r.want("stopping")
	})
}

// TestReadinessCanceled checks that a canceled request is not a failure.
func TestReadinessCanceled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		for range 10 {
			r.Report("search", context.Canceled)
		}
		r.want("")
	})
}

// TestReadinessProbeHangs checks that another request neither starts nor awaits a second probe.
func TestReadinessProbeHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		r.hang = make(chan struct{})
		began := time.Now()
		r.want("does not respond in time")
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %v, want the caller's 2s", took)
		}
		await.Pass(time.Second)
		began = time.Now()
		r.want("does not respond in time")
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v, want an immediate response", took)
		}
		close(r.hang)
		synctest.Wait()
		r.hang = nil
		r.want("")
	})
}

// TestReadinessDamage checks that only an examination ends the damaged state, not a probe
// or time.
func TestReadinessDamage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		found := errors.New("row 3 missing from index")
		r.verify.Store(&found)
		r.Report("check", errDamage)
		r.want("") // one error is not enough
		for range 3 {
			r.Report("start", errDamage)
		}
		r.want("the database is damaged: page 7 is damaged")
		synctest.Wait()
		for range 10 {
			await.Pass(10 * time.Minute)
			r.want("the database is damaged: row 3 missing from index")
			synctest.Wait()
		}
		r.verify.Store(nil) // repaired
		await.Pass(time.Minute)
		r.want("damaged")
		synctest.Wait()
		r.want("")
	})
}

func TestReadinessSuspect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		r.Suspect()
		synctest.Wait()
		r.want("")
		r.verify.Store(&errDamage)
		r.Suspect()
		synctest.Wait()
		r.want("the database is damaged: page 7 is damaged")
	})
}

// TestReadinessWatch checks that the server becomes ready again without requests to /readyz.
func TestReadinessWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var moved atomic.Pointer[error]
		go r.Watch(ctx, func(context.Context) error {
			if err := moved.Load(); err != nil {
				return *err
			}
			return nil
		})
		r.report("start", "xxx")
		await.Pass(2*time.Second + time.Millisecond)
		synctest.Wait()
		if !strings.Contains(r.log.String(), "ready again") {
			t.Errorf("it is not ready again:\n%s", &r.log)
		}
		r.probe = errBroken
		moved.Store(&errBroken)
		await.Pass(time.Second)
		synctest.Wait()
		if !strings.HasSuffix(r.log.String(), "reason=broken\n") {
			t.Errorf("it is still ready:\n%s", &r.log)
		}
	})
}
