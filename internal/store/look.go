package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"countersign/internal/filelock"
	"countersign/internal/store/sqlite"
)

// ErrOlderSchema is returned by Look for a schema that the next server, or Migrate, brings
// up to date.
var ErrOlderSchema = errors.New("the schema is older than this program")

// Look calls use with a read-only database, without a key and without a migration. The
// error wraps [ErrOlderSchema] or [ErrNewerSchema] if the schema has another version than
// this program. The database must be [Prepared] or [Used].
func Look(ctx context.Context, database string, use func(*DB) error) error {
	db := newDB(Config{Database: database, Log: slog.New(slog.DiscardHandler)})
	if IsPostgres(database) {
		conf, err := parsePostgres(database)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		db.dialect, db.primary = onPostgres(), newPrimary(conf, db.log)
		db.pool = db.primary.pool()
		db.pool.SetMaxOpenConns(1)
		db.read = sqlReader{db.pool}
	} else {
		db.read = fileReader{sqlite.NewPool(1, func() (*sqlite.Conn, error) {
			return sqlite.Open(database, "busy_timeout(2000)", "query_only(ON)")
		})}
	}
	err := db.current(ctx, database)
	if err == nil {
		err = use(db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("database %s: %w", Redact(database), err)
	}
	return nil
}

// current returns nil if the schema has the version of this program.
func (db *DB) current(ctx context.Context, database string) (err error) {
	pool := db.pool
	if !db.postgres() {
		if pool, err = sql.Open("sqlite", fileURI(database, "busy_timeout(2000)", "query_only(ON)")+"&mode=rw"); err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, pool.Close()) }()
		pool.SetMaxOpenConns(1)
	}
	p, err := db.provider(pool)
	if err != nil {
		return err
	}
	have, want, err := db.versions(ctx, pool, p)
	if err == nil && have < want {
		err = fmt.Errorf("schema version %d, but this program has %d: %w", have, want, ErrOlderSchema)
	}
	return err
}

// Serving reports whether a server has an SQLite file. It is false for a missing file and
// for PostgreSQL, which any number of servers may use. It must not be called in a process
// that has the file open: see package filelock.
func Serving(database string) bool {
	if IsPostgres(database) {
		return false
	}
	f, err := os.OpenFile(database, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	locked, err := filelock.Locked(f)
	return errors.Join(err, f.Close()) == nil && locked
}
