package store_test

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// Tests of the PostgreSQL engine only.

// TestPostgresFirstNodes: of several nodes that open an empty database at the same time,
// one makes the schema, and all use the key of one.
func TestPostgresFirstNodes(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	keys := []vault.Key{vault.NewKey(), vault.NewKey()}
	var opened, refused [2]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			db, err := open(t, database, keys[i%2], true)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				opened[i%2]++
				err = db.Close()
			case errors.Is(err, vault.ErrKey):
				refused[i%2]++
				err = nil
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened != [2]int{5, 0} && opened != [2]int{0, 5} || opened[0] != refused[1] || opened[1] != refused[0] {
		t.Errorf("opened %v, refused %v; want all with one key and none with the other", opened, refused)
	}
	steps, err := store.Migrations(t.Context(), database)
	if err != nil || len(steps) != 1 || steps[0].Version != 1 || steps[0].Applied.IsZero() {
		t.Errorf("Migrations = %+v, %v", steps, err)
	}
}

func TestPostgresRefusesToOpen(t *testing.T) {
	t.Parallel()
	t.Run("ErrNewerSchema", func(t *testing.T) {
		t.Parallel()
		database := postgres(t)
		pgtest.Exec(t, database, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`)
		if _, err := open(t, database, key, true); !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), "999") {
			t.Errorf("got %v, want ErrNewerSchema that names the version", err)
		}
		if err := store.Migrate(t.Context(), database); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("Migrate: %v, want ErrNewerSchema", err)
		}
		if _, err := store.Migrations(t.Context(), database); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("Migrations: %v, want ErrNewerSchema", err) // not an empty list without error
		}
	})
	t.Run("ErrEncoding", func(t *testing.T) {
		t.Parallel()
		database := pgtest.URL(t)
		latin := strings.Replace(database, "?", "_latin?", 1)
		name := path.Base(strings.SplitN(latin, "?", 2)[0])
		pgtest.Exec(t, database, `CREATE DATABASE `+name+` ENCODING 'LATIN1' TEMPLATE template0`)
		if _, err := open(t, latin, key, true); err == nil || !strings.Contains(err.Error(), "UTF8") {
			t.Errorf("got %v, want that it must be UTF8", err)
		}
	})
	t.Run("ErrNoServer", func(t *testing.T) {
		t.Parallel()
		if _, err := open(t, "postgres:///countersign?host="+t.TempDir(), key, true); err == nil {
			t.Error("opened a database without a server")
		}
	})
}

// TestPostgresPasswords: no error contains any part of a password, also for invalid URLs.
func TestPostgresPasswords(t *testing.T) {
	t.Parallel()
	for _, database := range []string{
		"postgres://user:hunter2@127.0.0.1:1/name",
		"postgres://user:hunter2@127.0.0.1:1/name?sslmode=hunter2",
		"postgres://user@127.0.0.1:1/name?password=hunter2",
		"postgres://user:hun%zzhunter2@127.0.0.1:1/name",
		"postgres://user:before/hunter2@127.0.0.1:1/name",
		"postgres://user:12/hunter2@127.0.0.1:1/name",
		"postgres://user:before@hunter2@127.0.0.1:1/name",
		"postgres://user:before?hunter2@127.0.0.1:1/name",
		"postgres://user:before#hunter2@127.0.0.1:1/name",
		"postgresql://user:hunter2@127.0.0.1:x/name",
		"postgres://user:hunter2 x@[::1/name",
	} {
		_, openErr := open(t, database, key, true)
		_, existsErr := store.Inspect(t.Context(), database)
		for _, text := range []string{errText(openErr), errText(existsErr), errText(store.Migrate(t.Context(), database)), store.Redact(database)} {
			if text == "" || strings.Contains(text, "hunter") || strings.Contains(text, "before") {
				t.Errorf("%s: the error is %q", database, text)
			}
		}
	}
	if got := store.Redact("postgres://me:secret@db.example:5433/verify?sslmode=require"); got != "postgres://me@db.example:5433/verify" {
		t.Errorf("Redact = %q", got)
	}
	if got := store.Redact("postgres://me:secret@a,b:5433/verify"); got != "postgres://me@a:5432,b:5433/verify" {
		t.Errorf("Redact = %q", got)
	}
	if got := store.Redact("/var/lib/x.db"); got != "/var/lib/x.db" {
		t.Errorf("Redact = %q", got)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestPostgresBackup: a backup of PostgreSQL is refused.
func TestPostgresBackup(t *testing.T) {
	t.Parallel()
	_, err := openFile(t, postgres(t), key).Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db"))
	if !errors.Is(err, store.ErrBackup) || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("got %v, want ErrBackup that names pg_dump", err)
	}
}

// TestPostgresPing: concurrent pings succeed and leave few rows.
func TestPostgresPing(t *testing.T) {
	t.Parallel()
	database := postgres(t)
	nodes := []*store.DB{openFile(t, database, key), openFile(t, database, key)}
	var wg sync.WaitGroup
	for _, db := range nodes {
		for range 20 {
			wg.Go(func() {
				if err := db.Ping(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	var rows int
	pgtest.Scan(t, database, `SELECT COUNT(*) FROM settings`, &rows)
	if rows > 3 {
		t.Errorf("%d rows of settings are left", rows)
	}
}

// TestPostgresPingApart: nodes seldom wait for each other's row, even with the same process
// id, as in containers. A node that hangs in its ping would make the others fail theirs.
func TestPostgresPingApart(t *testing.T) {
	t.Parallel()
	database := postgres(t)
	for range 4 {
		must(t, openFile(t, database, key).Ping(t.Context()))
	}
	var rows int
	pgtest.Scan(t, database, `SELECT COUNT(*) FROM settings WHERE name LIKE 'write_check%'`, &rows)
	if rows < 2 { // all four choose the same row in one of 262,144 runs
		t.Error("all nodes of one process id write the same row")
	}
}

// TestPostgresRestart: while the server is down, calls fail immediately; after its restart
// they succeed.
func TestPostgresRestart(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	db, err := store.Open(t.Context(), store.Config{Database: server.Create(t, "template0"), Key: key, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer db.Close()
	addAccount(t, db, "demo0001", 1)
	server.Stop(t)
	if err := db.Credit(t.Context(), "demo0001", 1, t0); err == nil {
		t.Error("written without a server")
	}
	if _, err := db.Accounts(t.Context()); err == nil {
		t.Error("read without a server")
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("ready without a server")
	}
	server.Resume(t)
	must(t, db.Credit(t.Context(), "demo0001", 10, t0))
	wantBalance(t, db, "demo0001", 11, 0)
	for i := range 3 { // a quick restart causes no error
		server.Restart(t)
		if i%2 == 0 {
			must(t, db.Credit(t.Context(), "demo0001", 100, t0))
			continue
		}
		wantBalance(t, db, "demo0001", 111, 0)
	}
	wantBalance(t, db, "demo0001", 211, 0)
}
