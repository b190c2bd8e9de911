package postgres

import (
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/store/driver"
)

// start opens a database and connects its first writer.
func start(t *testing.T, database string) *Engine {
	t.Helper()
	opened, err := URL(database).Open(t.Context(), driver.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	if err := opened.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return opened.(*Engine)
}

// TestSilentHost: a host that does not answer costs its timeout once, not once for each
// connection.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var dialled atomic.Int32
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			dialled.Add(1)
			defer conn.Close()
		}
	}()
	server := pgtest.Start(t, "listen_addresses=127.0.0.1,127.91.7.3")
	database := server.Create(t, "template0")
	both := "postgres://postgres@" + silent.Addr().String() + ",127.91.7.3:5432/" + pgtest.Name(database) + "?sslmode=disable"
	e := start(t, both+"&connect_timeout=2") // a busy server answers within it
	const tries = 10
	before := dialled.Load()
	for range tries {
		conn, err := e.primary.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(t.Context())
	}
	if before == 0 || dialled.Load()-before >= tries {
		t.Errorf("the silent host was dialled %d times, then %d times for %d connections", before, dialled.Load()-before, tries)
	}
}

// TestIdleWriter: a writer that was idle replaces a lost connection before it begins a
// transaction.
func TestIdleWriter(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	pgtest.Exec(t, database, `CREATE TABLE trace (name TEXT)`)
	w := start(t, database).writers[0].(*Writer)
	write := func(name string) error {
		if err := w.Begin(); err != nil {
			return err
		}
		if err := w.Send(`INSERT INTO trace VALUES ($1)`, []any{name}); err != nil {
			return err
		}
		return w.Commit()
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, database, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	await.Until(t, "closed: the connection", func() bool {
		var left int
		pgtest.Scan(t, database, `SELECT COUNT(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'countersign'`, &left)
		return left == 0
	})
	w.used = time.Now().Add(-2 * idleCheck)
	if err := write("after"); err != nil {
		t.Errorf("after a rest: %v", err)
	}
	var names string
	if pgtest.Scan(t, database, `SELECT string_agg(name, ' ' ORDER BY name DESC) FROM trace`, &names); names != "before after" {
		t.Errorf("written: %q", names)
	}
}
