// Package store persists accounts, verifications, number histories, prices and the ledger.
//
// [DB] is a database on SQLite or PostgreSQL. All writes use [DB.Write], which commits the
// transactions of many callers together (group commit) and returns after the commit is durable.
// Reads do not wait for writes.
//
// The package must not depend on the engine, HTTP or carriers, and contains no rules: it loads
// values of package verify and saves the changes that the rules return. Package vault manages
// the keys and seals values.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"countersign/internal/vault"
	"countersign/internal/verify"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect
	path     string  // path of the SQLite file, or URL of the PostgreSQL database
	pingSlot [1]byte // generated at random, see pingRow
	read     reader
	vault    *vault.Vault
	seal     *vault.Sealer // sealer of vault
	decoy    decoy
	keys     reader  // separate from read: keys are read while the caller occupies a connection of read
	pool     *sql.DB // PostgreSQL connections of read; nil for SQLite
	writers  []*writer
	changes  changes
	prices   *Cached[*verify.PriceList]
	blocked  *Cached[blockedSet]

	credentials credentialCache

	lock    *fileLock // nil unless opened for serving
	files   *files    // nil unless an SQLite file was opened for serving
	outage  *outage   // state of the connection to PostgreSQL; nil for SQLite
	primary *primary  // source of PostgreSQL connections; nil for SQLite
	log     *slog.Logger
}

// Config describes the database to open.
type Config struct {
	// Database is the path of an SQLite file or the URL of a PostgreSQL database
	// (postgres://user:password@host/name). A missing file is created.
	Database string
	Key      vault.Key
	Log      *slog.Logger

	// ReadKey, if not nil, reads the key file again: a replaced file takes effect without a
	// restart.
	ReadKey func() (vault.Key, error)
	// Now is the time at which the database is opened; zero means the system time.
	Now time.Time

	// Serve opens an SQLite file for a server: Open returns ErrInUse if another server has the
	// file, and otherwise makes the rows that a dead server leased due. It is false for tools
	// that read values or change settings. It has no effect on PostgreSQL, where any number of
	// servers may share a database.
	Serve bool

	// Around, if not nil, is called with the commit of each batch of writes; its error is the
	// result of the batch. A simulation delays commits there, and crashes nodes before a commit
	// or between the commit and the return of Write.
	Around func(commit func()) error

	// Committed, if not nil, is called after each batch of writes, including failed batches,
	// with the number of writes and their duration. It must be quick.
	Committed func(writes int, took time.Duration)
}

// Open opens the database, migrates its schema and checks the key. Its error wraps
// vault.ErrKey if the key does not open the database. A new database is created for the key.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	db := newDB(cfg)
	start := db.startSQLite
	if IsPostgres(cfg.Database) {
		db.dialect, start = onPostgres(), db.startPostgres
	}
	if err := start(ctx, cfg); err != nil {
		_ = db.Close() // its errors follow from err
		return nil, fmt.Errorf("open database %s: %w", Redact(cfg.Database), diskFull(cfg.Database, err))
	}
	return db, nil
}

func newDB(cfg Config) *DB {
	db := &DB{path: cfg.Database, dialect: onSQLite(), log: cfg.Log}
	db.prices, db.blocked = cache(db, ofPrices, db.readPriceList), cache(db, ofBlocked, db.readBlocked)
	db.prices.exact = true
	rand.Read(db.pingSlot[:]) // never fails (crypto/rand)
	return db
}

// Shared reports whether other nodes may write to the database.
func (db *DB) Shared() bool { return db.postgres() }

// Close waits for writes in flight and closes the files.
func (db *DB) Close() error {
	var errs []error
	for _, w := range db.writers {
		w.stop()
	}
	// If the paths now lead to other files, the writers stay open until the process ends: SQLite
	// would write its log to those files when the last connection closes.
	if db.files.mayClose() {
		for _, w := range db.writers {
			errs = append(errs, w.conn.close())
		}
	}
	if db.read != nil {
		errs = append(errs, db.read.close())
	}
	if db.keys != nil {
		errs = append(errs, db.keys.close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.release())
	}
	return errors.Join(errs...)
}

// query reads rows. The caller closes them.
func (db *DB) query(ctx context.Context, text string, args ...any) (rows, error) {
	if err := db.files.known(); err != nil {
		return nil, err
	}
	if !db.postgres() {
		return db.read.query(ctx, text, args...)
	}
	found, err := retry(ctx, db.primary, func() (rows, error) { return db.read.query(ctx, text, args...) })
	return found, db.outage.note(err)
}

// queryRow reads one row into dest. It returns sql.ErrNoRows for an empty result.
func (db *DB) queryRow(ctx context.Context, text string, args []any, dest ...any) error {
	if err := db.files.known(); err != nil {
		return err
	}
	if !db.postgres() {
		return db.read.queryRow(ctx, text, args, dest...)
	}
	_, err := retry(ctx, db.primary, func() (any, error) { return nil, db.read.queryRow(ctx, text, args, dest...) })
	return db.outage.note(err)
}

func millis(t time.Time) int64 { return t.UnixMilli() }

// latest returns, in milliseconds, the latest time of a stored value that is not from the
// future (see verify.FromFuture).
func latest(now time.Time) int64 { return millis(now.Add(verify.FutureTolerance)) }

// surelyFuture returns, in milliseconds, the time after which a stored value is from the
// future for a job that deletes it or makes it due. The job may have read now a while ago:
// its process was paused, or its write waited. A value written since then is not from the
// future, so the tolerance is the life of the longest verification.
func surelyFuture(now time.Time) int64 { return millis(now.Add(longestVerification)) }

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
