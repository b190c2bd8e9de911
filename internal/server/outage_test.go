package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// lockedBuffer is a log for concurrent writers.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// lines returns level and message of the lines that are not about requests.
func (b *lockedBuffer) lines(t *testing.T) (list []string, text string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.buf.String()) {
		var fields struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields.Msg != "request" {
			list = append(list, fields.Level+" "+fields.Msg)
		}
	}
	return list, b.buf.String()
}

// TestOutageInTheLog checks that a PostgreSQL outage, during which requests and all tasks
// fail repeatedly, is logged only by its beginning and end, with root cause and duration.
func TestOutageInTheLog(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	log := &lockedBuffer{}
	opts := options("", vault.NewKey())
	opts.Config.Database = postgres.Create(t, "template0")
	opts.Log = slog.New(slog.NewJSONHandler(log, nil))
	r := run(t, opts)
	defer r.halt()
	for i := range 5 {
		if _, err := r.start(fmt.Sprintf("44770090%04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := log.lines(t)
	postgres.Crash(t)
	began := time.Now()
	for i := 0; i < 40 || time.Since(began) < 3*time.Second; i++ { // long enough for every task
		if _, err := r.start("447700910000"); err == nil {
			t.Fatal("a start was accepted without a database")
		}
	}
	postgres.Resume(t)
	var all []string
	var text string
	await.Until(t, "in the log: the end of the outage", func() bool {
		all, text = log.lines(t)
		return strings.Contains(text, "available again")
	})
	if _, err := r.start("447700920000"); err != nil {
		t.Error(err)
	}
	got := all[len(before):]
	want := []string{"ERROR database unavailable", "INFO database available again"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the outage has the lines %q, want %q:\n%s", got, want, withoutRequests(text))
	}
	for _, part := range []string{`"remedy":"`, `"after":"`, `"failures":`, `"reason":"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in the log", part)
		}
	}
}

func withoutRequests(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, `"msg":"request"`) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// TestOtherErrorsAreLogged checks that only errors of an unavailable database are omitted.
func TestOtherErrorsAreLogged(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	quiet := server.Quiet(slog.New(slog.NewJSONHandler(log, nil)))
	out := fmt.Errorf("call: %w", &store.UnavailableError{Reason: "gone"})
	quiet.Error("call failed", "error", out)
	quiet.With("carrier", "a").WithGroup("g").Warn("receipt not stored", "error", out)
	quiet.Error("call failed", "error", fmt.Errorf("column is missing"))
	quiet.Error("no error at all", "account", "demo0001")
	if got, _ := log.lines(t); fmt.Sprint(got) != "[ERROR call failed ERROR no error at all]" {
		t.Errorf("lines %q", got)
	}
}
