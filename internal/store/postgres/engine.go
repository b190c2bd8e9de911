// Package postgres is the PostgreSQL engine of package store. It parses URLs, finds the
// primary among several hosts and opens connections. It sends the statements of a batch in
// few round trips, listens for notifications, makes partitions, and finds the cause of a
// failure.
//
// It must not know the tables of Countersign, with the exception of their names as arguments,
// nor keys or verifications. Package store has the statements.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"countersign/internal/store/driver"
)

const (
	// maxReads bounds the connections of a node for reads. A query waits for the network, so
	// there may be more of them than processors.
	maxReads = 16
	// writers is the number of transactions that a node writes at a time. Each mostly waits for
	// the network and the server.
	writers = 4
)

// Numbers of advisory locks. No other program uses them.
const (
	schemaLock    = 0x636f756e74657273 // "counters": held by the node that changes the schema
	partitionLock = schemaLock + 1     // held by the node that makes or drops partitions
	copyLock      = 0x636f70792e2e2e2e // "copy....": shared by servers, exclusive for a copy
)

// Engine is an open database. It implements [driver.Engine].
type Engine struct {
	primary *primary
	pool    *sql.DB // for reads
	keys    *sql.DB // one connection, see driver.Engine.Keys
	writers []driver.Writer
	outage  *outage // nil for commands, which report their errors themselves
}

var _ driver.Engine = (*Engine)(nil)

// Open returns the database. It does not connect to the server.
func (u URL) Open(_ context.Context, o driver.Options) (driver.Engine, error) {
	e, err := u.engine(o)
	if err != nil {
		return nil, err
	}
	if o.Serve {
		e.outage = &outage{log: o.Log, now: time.Now}
	}
	for range writers { // Start connects the first, the others connect when they are needed
		e.writers = append(e.writers, newWriter(e.primary, o))
	}
	e.pool.SetMaxOpenConns(maxReads)
	e.pool.SetMaxIdleConns(maxReads)
	e.pool.SetConnMaxLifetime(time.Hour) // a restarted server gets its share again
	e.keys.SetConnMaxIdleTime(time.Minute)
	return e, nil
}

// Look returns the database for reads.
func (u URL) Look(context.Context) (driver.Engine, error) {
	e, err := u.engine(driver.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err // A nil *Engine would not be a nil driver.Engine.
	}
	e.pool.SetMaxOpenConns(1)
	return e, nil
}

// engine returns the database with pools that have no connection yet.
func (u URL) engine(o driver.Options) (*Engine, error) {
	conf, err := u.parse()
	if err != nil {
		return nil, err
	}
	if o.Dial != nil {
		conf.DialFunc = o.Dial
	}
	p := newPrimary(conf, o.Log)
	e := &Engine{primary: p, pool: p.pool(), keys: p.pool()}
	e.keys.SetMaxOpenConns(1)
	return e, nil
}

// Start connects the first writer.
func (e *Engine) Start(ctx context.Context) error {
	err := e.writers[0].(*Writer).connect(ctx)
	if u := unavailable(err); u != nil {
		return u
	}
	return err
}

// Writers returns the writers.
func (e *Engine) Writers() []driver.Writer { return e.writers }

// Note logs the beginning and the end of an outage, and returns its cause.
func (e *Engine) Note(err error) error { return e.outage.note(err) }

// Close closes all connections.
func (e *Engine) Close() error {
	for _, w := range e.writers {
		w.(*Writer).close()
	}
	return errors.Join(e.pool.Close(), e.keys.Close())
}

// Query reads rows. It runs again after the loss of a connection.
func (e *Engine) Query(ctx context.Context, text string, args ...any) (driver.Rows, error) {
	found, err := retry(ctx, e.primary, func() (driver.Rows, error) { return reader{e.pool}.Query(ctx, text, args...) })
	return found, e.outage.note(err)
}

// QueryRow reads one row. It runs again after the loss of a connection.
func (e *Engine) QueryRow(ctx context.Context, text string, args []any, dest ...any) error {
	_, err := retry(ctx, e.primary, func() (any, error) { return nil, reader{e.pool}.QueryRow(ctx, text, args, dest...) })
	return e.outage.note(err)
}

// Keys reads with the connection for keys.
func (e *Engine) Keys() driver.Reader { return reader{e.keys} }

// Stats returns the state of the pools.
func (e *Engine) Stats() (read, keys driver.PoolStats) { return stats(e.pool), stats(e.keys) }

// ProbeWrite takes and releases the lock of a writer on a table.
func (e *Engine) ProbeWrite(ctx context.Context, table string) error {
	_, err := e.pool.ExecContext(ctx, `DELETE FROM `+table+` WHERE FALSE`) //nolint:gosec // a name from package store
	return err
}

// Exclusive reports false: any number of nodes may use a server.
func (*Engine) Exclusive() bool { return false }

// CheckFiles returns nil: the server has the files.
func (*Engine) CheckFiles() error { return nil }

// SettleFiles returns nil.
func (*Engine) SettleFiles(context.Context) error { return nil }

// Shrunk reports false.
func (*Engine) Shrunk() bool { return false }

// Verify returns nil: the server has tools for it.
func (*Engine) Verify(context.Context) error { return nil }

// EmptyLog returns nil: the server manages its log and free space.
func (*Engine) EmptyLog(context.Context) error { return nil }

// Backup returns driver.ErrBackup.
func (*Engine) Backup(context.Context, string) ([]driver.TableRows, error) {
	return nil, driver.ErrBackup
}

// reader reads from a pool.
type reader struct{ pool *sql.DB }

func (r reader) Query(ctx context.Context, text string, args ...any) (driver.Rows, error) {
	found, err := r.pool.QueryContext(ctx, text, args...) //nolint:rowserrcheck // the caller does
	if err != nil {
		return nil, err // A nil *sql.Rows would not be a nil driver.Rows.
	}
	return found, nil
}

func (r reader) QueryRow(ctx context.Context, text string, args []any, dest ...any) error {
	return r.pool.QueryRowContext(ctx, text, args...).Scan(dest...)
}

func stats(pool *sql.DB) driver.PoolStats {
	s := pool.Stats()
	return driver.PoolStats{InUse: s.InUse, Idle: s.Idle, Limit: s.MaxOpenConnections, Waits: s.WaitCount, Waited: s.WaitDuration}
}
