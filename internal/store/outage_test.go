package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/await"
	"countersign/internal/pgtest"
)

// TestUnavailableReason: a server that cannot be used is reported by the root cause in one
// line with its remedy, whatever else was tried. The connections are over TCP with the
// default sslmode=prefer, so that the driver also reports an attempt with TLS.
func TestUnavailableReason(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.%d.%d.%d", 1+rand.N(250), rand.N(250), 2+rand.N(250))
	server, err := pgtest.Launch("listen_addresses=" + address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	admin := server.Create(t, "template0")
	var hba string
	pgtest.Scan(t, admin, `SHOW hba_file`, &hba)
	if err := os.WriteFile(hba, []byte("local all postgres trust\nhost all postgres 127.0.0.0/8 trust\nhost all app,busy 127.0.0.0/8 scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE ROLE app LOGIN PASSWORD 'right'`, `CREATE ROLE busy LOGIN PASSWORD 'right' CONNECTION LIMIT 0`,
		`CREATE ROLE stranger LOGIN`, `SELECT pg_reload_conf()`,
	} {
		pgtest.Exec(t, admin, statement)
	}
	name := func(u, database string) string {
		return (&url.URL{Scheme: "postgres", User: url.UserPassword(u, "secret4711"), Host: address, Path: "/" + database}).String()
	}
	await.Until(t, "read: the new pg_hba.conf", func() bool {
		return strings.Contains(tryOpen(t, name("stranger", "postgres")).Error(), "28000")
	})
	for _, tt := range []struct{ name, database, reason, remedy string }{
		{"password", name("app", "postgres"), `password authentication failed for user "app" (SQLSTATE 28P01)`, "correct the user or the password"},
		{"pg_hba.conf", name("stranger", "postgres"), `no pg_hba.conf entry for host`, "pg_hba.conf"},
		{"database", name("postgres", "nothere"), `database "nothere" does not exist (SQLSTATE 3D000)`, "create the database"},
		{"connections", strings.Replace(name("busy", "postgres"), "secret4711", "right", 1), `too many connections for role "busy" (SQLSTATE 53300)`, "max_connections"},
		{"refused", "postgres://app:secret4711@127.0.0.1:1/postgres", "connection refused", "start PostgreSQL"},
		{"socket", "postgres://app:secret4711@/postgres?host=/nothere", "no such file or directory", "socket"},
		{"one of two hosts", "postgres://app:secret4711@127.0.0.1:1," + address + ":5432/postgres", "(SQLSTATE 28P01)", "correct the user or the password"},
		{"TLS demanded", name("postgres", "postgres") + "?sslmode=require", "server refused TLS connection", "turn TLS on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tryOpen(t, tt.database)
			u, ok := errors.AsType[*UnavailableError](err)
			if !ok {
				t.Fatalf("%v, want an UnavailableError", err)
			}
			if !strings.Contains(u.Reason, tt.reason) || !strings.Contains(u.Remedy, tt.remedy) {
				t.Errorf("reason %q, remedy %q; want %q, %q", u.Reason, u.Remedy, tt.reason, tt.remedy)
			}
			text := err.Error()
			if !strings.Contains(text, u.Reason) || !strings.Contains(text, u.Remedy) || strings.Contains(text, "secret4711") {
				t.Errorf("the error is %q", text)
			}
			if strings.Contains(text, "\n") || strings.Contains(text, "TLS connection") != (tt.name == "TLS demanded") {
				t.Errorf("the error is %q, want one line without other attempts", text)
			}
		})
	}
}

// tryOpen opens a database that cannot be opened.
func tryOpen(t *testing.T, database string) error {
	t.Helper()
	db, err := Open(t.Context(), Config{Database: database, Log: slog.New(slog.DiscardHandler), Serve: true})
	if err == nil {
		_ = db.Close()
		t.Fatalf("%s can be opened", Redact(database))
	}
	return err
}

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
		{"lost in a commit", fmt.Errorf("write: %w", fmt.Errorf("%w: %w", ErrUnknown, io.ErrUnexpectedEOF)), "log of the database server"},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, "log of the database server"},
		{"unreachable", &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "route"},
		{"name", &net.DNSError{Err: "no such host", Name: "db.example"}, "name service"},
		{"no answer", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "firewall"},
		{"overload of ours", ErrOverloaded, ""},
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

// TestOutageLines: one line at the beginning, one a minute, and one at the end, however
// many operations fail.
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
		succeed() // it takes some sessions
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
