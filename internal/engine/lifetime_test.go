package engine_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/deliver"
	"countersign/internal/engine"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// states fails the test unless a message states a lifetime, such as "4 minutes".
func states(t *testing.T, m deliver.Message, want string) {
	t.Helper()
	if !strings.HasSuffix(strings.TrimSuffix(m.Text, "."), " "+want) {
		t.Errorf("event %d, attempt %d: %q, want it to state %s", m.Seq, m.Attempt, m.Text, want)
	}
}

// TestRetryStatesWhatIsLeft: a message that waited for its carriers, and a message sent again
// after a lost response, state the lifetime at the time of sending.
func TestRetryStatesWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := setUpDesks(t, "a")
		_, h := d.start()
		states(t, h.Message, "5 minutes")
		for _, tt := range []struct {
			wait time.Duration
			want string
		}{
			{200 * time.Millisecond, "5 minutes"}, // within the tolerance
			{400 * time.Millisecond, "5 minutes"},
			{59400 * time.Millisecond, "4 minutes"},
			{3 * time.Second, "3 minutes"},
			{57 * time.Second, "3 minutes"},
		} {
			h.fail(errNotSent)
			d.rest()
			d.clock.Advance(tt.wait)
			h = d.next(0)
			states(t, h.Message, tt.want)
		}
		d.clock.Advance(time.Second)
		h.fail(errLost)
		h = d.next(0) // 121 s after the start
		if h.Attempt != 2 {
			t.Fatalf("attempt %d, want 2", h.Attempt)
		}
		states(t, h.Message, "2 minutes")
		h.accept()
		d.settled(h.RequestID, 0)
	})
}

// onValues is a log that calls a function when the values for carriers are not read.
type onValues func()

func (f onValues) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("carrier values not read")) {
		f()
	}
	return len(line), nil
}

// TestSlowTemplates: a message whose templates the database delays states the lifetime left
// after they are read.
func TestSlowTemplates(t *testing.T) {
	t.Parallel()
	d := setUpDesks(t, "a")
	closed, err := store.Open(t.Context(), store.Config{Database: filepath.Join(t.TempDir(), "closed.db"), Key: vault.NewKey(), Log: d.cfg.Log})
	must(t, err)
	must(t, closed.Close())
	messages, err := catalog()
	must(t, err)
	wait := onValues(sync.OnceFunc(func() { d.clock.Advance(70 * time.Second) }))
	d.cfg.Messages = template.NewWriter(messages, closed, slog.New(slog.NewTextHandler(wait, nil))) // logs the failed read
	d.cfg.Metrics = prometheus.NewRegistry()
	d.Engine = engine.New(d.cfg)
	_, h := d.start()
	states(t, h.Message, "3 minutes")
	if want := 230 * time.Second; h.ValidFor != want {
		t.Errorf("the message is valid for %v, want %v", h.ValidFor, want)
	}
	h.accept()
}

// TestFailureBeforeThePINDies: an event brought forward by a failure, less than a minute
// before the PIN expires, has a new PIN.
func TestFailureBeforeThePINDies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		failed     time.Duration // after the start
		generation int
		want       string
	}{
		{60 * time.Second, 1, "1 minute"},
		{60*time.Second + time.Millisecond, 2, "2 minutes"},
		{115 * time.Second, 2, "2 minutes"},
	} {
		t.Run(tt.failed.String(), func(t *testing.T) {
			t.Parallel()
			d := setUpDesks(t, "a")
			d.goOn()
			d.resume()
			v, h := d.start(func(r *verify.Request) { r.Workflow.PINLife = 120 * time.Second })
			d.clock.Advance(tt.failed)
			h.fail(errRefused)
			next := d.next(1)
			states(t, next.Message, tt.want)
			next.accept()
			if e := d.settled(v.ID, 1); e.Generation != tt.generation || !e.StartedAt.Equal(t0.Add(tt.failed)) {
				t.Errorf("the event is %+v, want PIN %d", e, tt.generation)
			}
		})
	}
}

// TestLateStepStatesWhatIsLeft: a step that fell due while no process ran states the
// lifetime left when it is taken, and has a new PIN if that is less than a minute.
func TestLateStepStatesWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		back       time.Duration // after the start; the step is due at 125 s
		chosen     bool
		generation int
		want       string
	}{
		{125 * time.Second, false, 1, "2 minutes"},
		{126 * time.Second, false, 1, "2 minutes"},
		{181 * time.Second, false, 1, "1 minute"},
		{240 * time.Second, false, 1, "1 minute"},
		{240*time.Second + time.Millisecond, false, 2, "5 minutes"},
		{295 * time.Second, false, 2, "5 minutes"},
		{300 * time.Second, false, 2, "5 minutes"},
		{295 * time.Second, true, 1, "1 minute"},
		{300 * time.Second, true, 2, "5 minutes"},
	} {
		name := tt.back.String()
		if tt.chosen {
			name += " chosen"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			req := b.request()
			if tt.chosen {
				b.account.CustomPIN = true
				req.ChosenPIN, _ = verify.ParsePIN("4711")
			}
			v, err := b.Start(t.Context(), b.account, req)
			must(t, err)
			b.settled(v.ID, 0)
			b.clock.Advance(tt.back)
			b.resume()
			if e := b.settled(v.ID, 1); e.Generation != tt.generation {
				t.Errorf("the event has PIN %d, want %d", e.Generation, tt.generation)
			}
			states(t, b.carrier.all()[1], tt.want)
		})
	}
}
