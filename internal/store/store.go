// Package store persists accounts, verifications, number histories, prices and the ledger.
//
// [DB] is a database on SQLite or PostgreSQL. All writes use [DB.Write], which commits the
// transactions of many callers together (group commit) and returns after the commit is durable.
// Reads do not wait for writes.
//
// The package has all statements about tables, each once. Packages sqlite and postgres run
// them; package driver is the contract. This package must not import a database library, and
// chooses an engine in one function, at.
//
// The package must not depend on the use cases, HTTP or carriers, and contains no rules: it
// loads values of package verify and saves the changes that the rules return. Package vault
// manages the keys and seals values.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/store/postgres"
	"countersign/internal/store/sqlite"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	at       driver.Database
	engine   driver.Engine
	dialect  driver.Dialect
	pingSlot [1]byte // generated at random, see pingRow
	vault    *vault.Vault
	seal     *vault.Sealer // sealer of vault
	decoy    decoy
	writers  []*writer
	changes  changes
	prices   *Cached[*verify.PriceList]
	blocked  *Cached[blockedSet]

	credentials credentialCache

	log *slog.Logger
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

	// Dial opens the connections to PostgreSQL for reads, writes and notifications; nil means
	// a net.Dialer. The migration of the schema uses another connection. Dial must return a new
	// connection to address, or an error before ctx is done. Only tests set it: they close or
	// delay a connection within a message.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Committed, if not nil, is called after each batch of writes, including failed batches,
	// with the number of writes and their duration. It must be quick.
	Committed func(writes int, took time.Duration)
}

// Open opens the database, migrates its schema and checks the key. Its error wraps
// vault.ErrKey if the key does not open the database. A new database is created for the key.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	db := newDB(at(cfg.Database), cfg.Log)
	if err := db.start(ctx, cfg); err != nil {
		_ = db.Close() // its errors follow from err
		return nil, fmt.Errorf("open database %s: %w", db.at, db.at.Full(err))
	}
	return db, nil
}

// at returns the database with a path or URL. It is the only function that chooses an
// engine.
func at(database string) driver.Database {
	if IsPostgres(database) {
		return postgres.URL(database)
	}
	return sqlite.File(database)
}

// IsPostgres reports whether database is the URL of a PostgreSQL server and not the path of
// a file.
func IsPostgres(database string) bool { return postgres.IsURL(database) }

// Redact returns the name of a database without its password, for logs and errors.
func Redact(database string) string { return at(database).String() }

func newDB(at driver.Database, log *slog.Logger) *DB {
	db := &DB{at: at, dialect: at.Dialect(), log: log}
	db.prices, db.blocked = cache(db, ofPrices, db.readPriceList), cache(db, ofBlocked, db.readBlocked)
	db.prices.exact = true
	rand.Read(db.pingSlot[:]) // never fails (crypto/rand)
	return db
}

// conflicts returns the constraints that a transaction violates if another one adds the
// same row at the same time. They protect the history of an address, and an entry of the
// ledger (see Tx.postOnce).
func conflicts() []string { return []string{"guards_pkey", "ledger_pkey"} }

// start claims the database, brings its schema up to date, reads the keys and starts the
// writers.
func (db *DB) start(ctx context.Context, cfg Config) (err error) {
	if db.engine, err = db.at.Open(ctx, driver.Options{Log: cfg.Log, Serve: cfg.Serve, Conflicts: conflicts(), Dial: cfg.Dial}); err != nil {
		return err
	}
	schema, err := db.at.Schema(ctx)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, schema.Close()) }()
	if err := migrate(ctx, schema, db.at); err != nil {
		return err
	}
	if err := db.engine.Start(ctx); err != nil {
		return err
	}
	if err := checkCopied(ctx, schema); err != nil { // before openKeys makes keys, which the copy must provide
		return err
	}
	if err := db.openKeys(ctx, schema, cfg); err != nil {
		return err
	}
	if db.engine.Exclusive() {
		if err := releaseDead(ctx, schema, cfg.Now); err != nil {
			return err
		}
	}
	for _, conn := range db.engine.Writers() {
		db.writers = append(db.writers, startWriter(conn, db, cfg))
	}
	return nil
}

// longestClaim is longer than every lease. Rows that are due later than that have no lease,
// unless they are due after longestVerification: such a lease is from the future.
const longestClaim = time.Minute

// releaseClaims makes all leased rows due, after the death of the server with the leases.
const releaseClaims = `UPDATE verifications SET due_at = 0 WHERE node IS NOT NULL AND due_at IS NOT NULL`

// releaseDead makes the rows that a dead process leased due. See longestClaim for the bounds.
func releaseDead(ctx context.Context, db *sql.DB, now time.Time) error {
	if now.IsZero() {
		now = time.Now()
	}
	_, err := db.ExecContext(ctx, releaseClaims+` AND (due_at <= $1 OR due_at > $2)`,
		millis(now.Add(longestClaim)), millis(now.Add(longestVerification)))
	return err
}

// Shared reports whether other nodes may write to the database.
func (db *DB) Shared() bool { return db.dialect.Shared }

// Close waits for writes in flight and closes the files.
func (db *DB) Close() error {
	for _, w := range db.writers {
		w.stop()
	}
	if db.engine == nil {
		return nil
	}
	return db.engine.Close()
}

// query reads rows. The caller closes them.
func (db *DB) query(ctx context.Context, text string, args ...any) (driver.Rows, error) {
	return db.engine.Query(ctx, text, args...)
}

// queryRow reads one row into dest. It returns sql.ErrNoRows for an empty result.
func (db *DB) queryRow(ctx context.Context, text string, args []any, dest ...any) error {
	return db.engine.QueryRow(ctx, text, args, dest...)
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
