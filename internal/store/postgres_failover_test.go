package store

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/await"
	"countersign/internal/pgtest"
	"countersign/internal/store/postgres"
)

// readOnly is the SQLSTATE read_only_sql_transaction.
const readOnly = "25006"

// writeEach writes once with each writer (each has a connection) and returns the errors.
func writeEach(t *testing.T, db *DB) (errs []error) {
	t.Helper()
	for _, w := range db.writers {
		j := job{do: touch, result: make(chan error, 1)}
		if err := w.enqueue(j); err != nil {
			t.Fatal(err)
		}
		errs = append(errs, <-j.result)
	}
	return errs
}

// touch is a write that is sent together with its commit.
func touch(tx *Tx) error {
	return tx.send(`INSERT INTO settings (name, value) VALUES ('touched', 'x') ON CONFLICT (name) DO UPDATE SET value = excluded.value`)
}

func wantEach(t *testing.T, db *DB, when string, fails bool) {
	t.Helper()
	for i, err := range writeEach(t, db) {
		if (err != nil) != fails {
			t.Errorf("%s: writer %d: %v, want an error: %v", when, i, err, fails)
		}
		if postgres.SQLState(err) == readOnly && errors.Is(err, ErrUnknown) {
			t.Errorf("%s: writer %d: %v; want a certain outcome for a refused write", when, i, err)
		}
	}
}

// TestPostgresReadOnly: sessions that began while the server took no writes are closed
// once it takes them again, by the first request.
func TestPostgresReadOnly(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	for _, tt := range []struct{ name, set, reset, option string }{
		{
			"Database", `ALTER DATABASE "DB" SET default_transaction_read_only = on`,
			`ALTER DATABASE "DB" RESET default_transaction_read_only`, "",
		},
		{
			"DatabaseAny", `ALTER DATABASE "DB" SET default_transaction_read_only = on`,
			`ALTER DATABASE "DB" RESET default_transaction_read_only`, "target_session_attrs=any",
		},
		{
			"RoleAny", `ALTER ROLE postgres SET default_transaction_read_only = on`,
			`BEGIN READ WRITE; ALTER ROLE postgres RESET default_transaction_read_only; COMMIT`, "target_session_attrs=any",
		},
	} {
		t.Run(tt.name, func(t *testing.T) { //nolint:paralleltest // roles are shared by all databases
			database := server.Create(t, "template0")
			if err := Migrate(t.Context(), database); err != nil {
				t.Fatal(err)
			}
			db := openPostgres(t, database, tt.option)
			name := pgtest.Name(database)
			wantEach(t, db, "before", false)
			// The statements run in another database, which takes writes.
			pgtest.Exec(t, server.On("/postgres"), strings.ReplaceAll(tt.set, "DB", name))
			wantEach(t, db, "with sessions from before", false)
			kill(t, database)
			wantEach(t, db, "with new sessions", true)
			_, _ = db.Warned(t.Context()) // opens a connection for reading
			pgtest.Exec(t, server.On("/postgres"), strings.ReplaceAll(tt.reset, "DB", name))
			wantEach(t, db, "after the reset", false)
			if err := db.Prepare(t.Context(), time.Now().AddDate(5, 0, 0)); err != nil {
				t.Errorf("make partitions after the reset: %v", err)
			}
		})
	}
	t.Run("System", func(t *testing.T) { //nolint:paralleltest // changes a setting of the server
		database := server.Create(t, "template0")
		if err := Migrate(t.Context(), database); err != nil {
			t.Fatal(err)
		}
		db := openPostgres(t, database)
		wantEach(t, db, "before", false)
		server.Set(t, "default_transaction_read_only", "on")
		await.Until(t, "read-only: the open sessions", func() bool { return writeEach(t, db)[0] != nil })
		wantEach(t, db, "read-only", true)
		server.Set(t, "default_transaction_read_only", "")
		wantEach(t, db, "after the reset", false)
	})
}

// openHosts opens a database with a URL of several servers.
func openHosts(t *testing.T, database string, servers ...*pgtest.Server) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{Database: pgtest.Hosts(database, servers...), Key: testKey, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestPostgresFailover: a node with both hosts in its URL finds the primary in either
// order, and the new one after a promotion.
func TestPostgresFailover(t *testing.T) {
	t.Parallel()
	primary, standby, database := pgtest.StartPair(t, true)
	db := openHosts(t, database, standby, primary)
	wantEach(t, db, "at the start", false)
	if err := db.Write(t.Context(), Scope{}, put("a")); err != nil {
		t.Fatal(err)
	}
	primary.Crash(t)
	wantEach(t, db, "without a primary", true)
	standby.Promote(t)
	wantEach(t, db, "after the promotion", false)
	wantTraces(t, db, "a", "touched")
}

// TestPostgresFence: all connections leave an old primary that was made read-only and
// still runs. Reads would show an old state there, and LISTEN would miss notifications.
func TestPostgresFence(t *testing.T) {
	t.Parallel()
	primary, standby, database := pgtest.StartPair(t, true)
	db := openHosts(t, database, primary, standby)
	wantEach(t, db, "at the start", false)
	ctx, stop := context.WithCancel(t.Context())
	heard, done := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(done)
		db.Listen(ctx, func() { heard <- struct{}{} })
	}()
	defer func() { stop(); <-done }()
	<-heard
	read := func() (name string) {
		if err := db.queryRow(t.Context(), `SELECT COALESCE(MAX(name), '') FROM settings WHERE name = 'after'`, nil, &name); err != nil {
			t.Error(err)
		}
		return name
	}
	if read() != "" {
		t.Fatal("the row exists already")
	}
	primary.Set(t, "default_transaction_read_only", "on")
	standby.Promote(t)
	await.Until(t, "written to the new primary", func() bool { return db.Write(t.Context(), Scope{}, put("after")) == nil })
	if read() != "after" {
		t.Error("a read shows the old primary")
	}
	await.Closed(t, "heard: the new primary", heard)
}

// TestPostgresUnreplicated: if the wait of a commit for a synchronous standby was
// cancelled, the outcome is unknown: the commit is durable on one server only.
func TestPostgresUnreplicated(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	database := server.Create(t, "template0")
	db := openPostgres(t, database)
	wantEach(t, db, "before", false)
	server.Set(t, "synchronous_standby_names", "'absent'")
	pgtest.Exec(t, database, "CHECKPOINT") // see pgtest.StartPair
	result := queue(t, db, put("a"))[0]
	for cancelled := 0; cancelled == 0; {
		pgtest.Scan(t, database, `SELECT COUNT(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`, &cancelled)
	}
	if err := <-result; !errors.Is(err, ErrUnknown) {
		t.Errorf("answered %v, want ErrUnknown", err)
	}
	server.Set(t, "synchronous_standby_names", "")
	pgtest.Exec(t, database, "CHECKPOINT")
	wantEach(t, db, "after", false)
}

// TestPostgresTooMany: requests fail while the server refuses connections (53300), and
// succeed when it accepts them again.
func TestPostgresTooMany(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, "max_connections=12", "superuser_reserved_connections=0", "max_wal_senders=0")
	database := server.Create(t, "template0")
	db := openPostgres(t, database)
	var others []*pgx.Conn
	for {
		conn, err := pgx.Connect(t.Context(), database)
		if postgres.SQLState(err) == "53300" {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, conn)
	}
	failed := 0
	for _, err := range writeEach(t, db) {
		if err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("each writer has a connection")
	}
	for _, conn := range others {
		_ = conn.Close(t.Context())
	}
	await.Until(t, "written by each writer", func() bool { return errors.Join(writeEach(t, db)...) == nil })
}

// TestPostgresTimeouts: writes that wait for a lock fail at PostgreSQL's time limit, and
// the connections remain usable.
func TestPostgresTimeouts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ state, option string }{
		{postgres.LockNotAvailable, "lock_timeout=100"},
		{"57014", "statement_timeout=100"},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			database := pgtest.Prepared(t, "migrated", Migrate)
			db := openPostgres(t, database, tt.option)
			wantEach(t, db, "before", false)
			conn, err := pgx.Connect(t.Context(), database)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `LOCK TABLE settings IN EXCLUSIVE MODE`); err != nil {
				t.Fatal(err)
			}
			for i, err := range writeEach(t, db) {
				if postgres.SQLState(err) != tt.state || errors.Is(err, ErrUnknown) {
					t.Errorf("writer %d: %v, want %s", i, err, tt.state)
				}
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantEach(t, db, "after", false)
		})
	}
}
