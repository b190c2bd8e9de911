package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/store/driver"
)

// TestUnavailable: which errors mean an unavailable server.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	state := func(code string) error { return &pgconn.PgError{Message: "text", Code: code} }
	for _, tt := range []struct {
		name string
		err  error
		want string // part of the remedy; "" for another failure
	}{
		{"nothing", nil, ""},
		{"client has gone", fmt.Errorf("query: %w", context.Canceled), ""},
		{"deadline of the caller", fmt.Errorf("query: %w", context.DeadlineExceeded), ""},
		{"statement timeout", state("57014"), ""},
		{"lock timeout", state("55P03"), ""},
		{"deadlock", state("40P01"), ""},
		{"unique", state("23505"), ""},
		{"shutdown", state("57P01"), "log of the database server"},
		{"starting", state("57P03"), "wait until"},
		{"read only", state("25006"), "primary"},
		{"disk full", state("53100"), "disk space"},
		{"input or output", state("58030"), "log of the database server"},
		{"lost in a commit", fmt.Errorf("write: %w", fmt.Errorf("%w: %w", driver.ErrUnknown, io.ErrUnexpectedEOF)), "log of the database server"},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, "log of the database server"},
		{"unreachable", &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "route"},
		{"name", &net.DNSError{Err: "no such host", Name: "db.example"}, "name service"},
		{"no answer", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "firewall"},
		{"overload of ours", errors.New("too many writes are waiting"), ""},
	} {
		u := unavailable(tt.err)
		switch {
		case u == nil && tt.want != "":
			t.Errorf("%s: not unavailable", tt.name)
		case u != nil && (tt.want == "" || !strings.Contains(u.Remedy, tt.want)):
			t.Errorf("%s: remedy %q, want %q", tt.name, u.Remedy, tt.want)
		case u != nil && !errors.Is(u, tt.err):
			t.Errorf("%s: the error is lost", tt.name)
		}
	}
}

// TestOutageLines: one line at the beginning, one a minute, and one at the end, for any
// number of failed operations.
func TestOutageLines(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := &outage{log: slog.New(slog.NewJSONHandler(&log, nil)), now: func() time.Time { return now }}
	fail, succeed := func() { _ = o.note(io.ErrUnexpectedEOF) }, func() { _ = o.note(nil) }
	lines := func() (list []string) {
		for line := range strings.Lines(log.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprint(fields["level"], " ", fields["msg"], " ", fields["for"], " ", fields["after"], " ", fields["failures"]))
		}
		log.Reset()
		return list
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if got := lines(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	succeed()
	expect("no outage")
	for range 590 { // 59 s
		fail()
		now = now.Add(100 * time.Millisecond)
	}
	expect("the first minute", "ERROR database unavailable <nil> <nil> <nil>")
	for range 600 {
		fail()
		succeed() // the server accepts some sessions
		now = now.Add(100 * time.Millisecond)
	}
	expect("the second minute", "ERROR database still unavailable 1m0s <nil> 601")
	succeed()
	now = now.Add(calm)
	_ = o.note(&pgconn.PgError{Code: "23505"}) // an answer
	expect("the end", "INFO database available again <nil> 1m58.9s 1190")
	succeed()
	expect("no outage")
	fail()
	expect("another outage", "ERROR database unavailable <nil> <nil> <nil>")
}
