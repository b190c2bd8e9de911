// Package store keeps everything that must survive: accounts, verifications,
// events, checks, the ledger and the inbox of the virtual phone.
//
// There is one concrete [DB]. All writes go through [DB.Write], which commits
// the transactions of many callers together and returns to each only when its
// own is durable. Reads do not wait for writes.
//
// The package must not know the engine, HTTP or carriers (but for the virtual
// phone, whose inbox lies here), and takes no decision: it loads values of package
// verify and saves what their rules made of them.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	path   string
	read   *sql.DB
	stmts  sync.Map // of the texts of reads to their *sql.Stmt
	seal   *sealer
	writer *writer
	lock   *fileLock // nil unless opened for serving
}

// Config says which database to open.
type Config struct {
	Path string // of the SQLite file; created when missing
	Key  Key
	Log  *slog.Logger

	// Serve claims the database for this process: it fails when another server
	// has it, and lets every row that a dead one held fall due at once. Tools
	// that only look something up or change a setting leave it false.
	Serve bool

	// Around, if not nil, is given each commit to carry out. A simulation crashes
	// and holds up nodes there: before it, or when it is durable and nobody knows.
	Around func(commit func() error) error
}

// ErrKey is returned by Open when the key is not the one that the database was
// made with.
var ErrKey = errors.New("the key does not open this database")

// Open opens the database, brings its schema up to date and checks the key.
func Open(ctx context.Context, cfg Config) (_ *DB, err error) {
	db := &DB{path: cfg.Path}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open database %s: %w", cfg.Path, err), db.Close())
		}
	}()
	if cfg.Serve {
		if db.lock, err = lockFile(cfg.Path + ".lock"); err != nil {
			return db, err
		}
	}
	if db.seal, err = newSealer(cfg.Key); err != nil {
		return db, err
	}
	if err := createPrivate(cfg.Path); err != nil {
		return db, err
	}
	write, err := openSQLite(cfg.Path, 1)
	if err != nil {
		return db, err
	}
	if err = migrate(ctx, write); err == nil {
		err = db.checkKey(ctx, write)
	}
	if err == nil && cfg.Serve {
		_, err = write.ExecContext(ctx, `UPDATE verifications SET due_at = 0 WHERE node IS NOT NULL AND due_at IS NOT NULL`)
	}
	if err != nil {
		return db, errors.Join(err, write.Close())
	}
	if db.writer, err = startWriter(ctx, write, db.seal, cfg); err != nil {
		return db, errors.Join(err, write.Close())
	}
	db.read, err = openSQLite(cfg.Path, readConns)
	return db, err
}

// readConns is enough to keep two cores busy; SQLite readers do not block.
const readConns = 8

// Close waits for the writes under way and closes the files. It may be called on
// a DB that Open failed to open.
func (db *DB) Close() error {
	var errs []error
	if db.writer != nil {
		errs = append(errs, db.writer.stop())
	}
	if db.read != nil {
		db.stmts.Range(func(_, s any) bool {
			errs = append(errs, s.(*sql.Stmt).Close())
			return true
		})
		errs = append(errs, db.read.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.release())
	}
	return errors.Join(errs...)
}

// prepare parses the text of a read once; there are few, and all are constant.
func (db *DB) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := db.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := db.read.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if first, loaded := db.stmts.LoadOrStore(query, s); loaded {
		return first.(*sql.Stmt), s.Close()
	}
	return s, nil
}

func (db *DB) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := db.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// queryRow reads one row into dest; sql.ErrNoRows when there is none.
func (db *DB) queryRow(ctx context.Context, query string, args []any, dest ...any) error {
	s, err := db.prepare(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(dest...)
}

// Ping reports whether the database takes a write: one that can only be read (a
// full disk, say) is of no use to anybody. It writes more than an accepted request
// does, since a little often fits where that does not.
func (db *DB) Ping(ctx context.Context) error {
	// Different each time: SQLite writes nothing for a value that stays as it is.
	value := make([]byte, 64<<10)
	rand.Read(value) // never fails (crypto/rand)
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ('write_check', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, value)
		return err
	})
}

// checkKey compares the key with the one that the database was made with.
func (db *DB) checkKey(ctx context.Context, conn *sql.DB) error {
	const name = "key_check"
	var sealed []byte
	err := conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = conn.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`,
			name, db.seal.sealAccount(name, name))
		return err
	}
	if err != nil {
		return err
	}
	if _, err := db.seal.openAccount(sealed, name); err != nil {
		return ErrKey
	}
	return nil
}

func millis(t time.Time) int64 { return t.UnixMilli() }

// millisOrNull stores the zero time as NULL.
func millisOrNull(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func fromMillisOrNull(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMillis(ms.Int64)
}
