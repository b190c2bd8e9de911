package sqlite

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"countersign/internal/store/driver"
)

// maxReads keeps two cores busy. Readers of a file do not block each other.
const maxReads = 8

// Engine is an open file. It implements [driver.Engine].
type Engine struct {
	path   string
	log    *slog.Logger
	lock   *Lock   // nil unless opened for serving
	files  *files  // nil unless opened for serving, and before Start
	read   *Pool   // nil before Start
	keys   *Pool   // one connection, see driver.Engine.Keys; nil before Start
	writer *Writer // nil before Start
}

var _ driver.Engine = (*Engine)(nil)

func dialect() driver.Dialect {
	return driver.Dialect{
		Name:  "sqlite",
		Goose: "sqlite3",

		Begin:   "BEGIN IMMEDIATE",
		Among:   ` IN (SELECT unhex(value) FROM json_each($1))`,
		IDs:     idSet,
		Columns: `SELECT name FROM pragma_table_info('%s')`,

		PingSize: 64 << 10,
	}
}

// idSet returns ids as a JSON array of hexadecimal texts.
func idSet(ids [][]byte) (any, error) {
	set := make([]string, len(ids))
	for i, id := range ids {
		set[i] = hex.EncodeToString(id)
	}
	text, err := json.Marshal(set)
	return string(text), err
}

// Open makes a missing file. With Options.Serve it locks the file, so that no other server
// opens it.
func (f File) Open(_ context.Context, o driver.Options) (driver.Engine, error) {
	path := string(f)
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	e := &Engine{path: path, log: o.Log}
	if !o.Serve {
		return e, checkName(path)
	}
	lock, err := LockFile(path)
	if err != nil {
		return nil, err // A nil *Engine would not be a nil driver.Engine.
	}
	e.lock = lock
	return e, nil
}

// Look opens an existing file for reads.
func (f File) Look(context.Context) (driver.Engine, error) {
	return &Engine{path: string(f), read: NewPool(1, func() (*Conn, error) {
		return Open(string(f), "busy_timeout(2000)", "query_only(ON)")
	})}, nil
}

// Start opens the writer, and compares the files with their paths from now on.
func (e *Engine) Start(context.Context) error {
	conn, err := Open(e.path, pragmas(writeCache)...)
	if err != nil {
		return err
	}
	e.writer = newWriter(conn, e.log)
	if e.lock != nil {
		if e.files, err = watchFiles(e.lock.f, e.log); err != nil {
			return err
		}
		e.writer.files = e.files
	}
	e.keys, e.read = readPool(e.path, 1), readPool(e.path, maxReads)
	return nil
}

// readPool returns a pool of connections that read.
func readPool(path string, limit int) *Pool {
	return NewPool(limit, func() (*Conn, error) { return Open(path, pragmas(readCache)...) })
}

// Writers returns the only writer. So its transactions need no locks: two checks of one
// verification run one after the other.
func (e *Engine) Writers() []driver.Writer { return []driver.Writer{e.writer} }

// Note returns err: a file has no outages.
func (*Engine) Note(err error) error { return err }

// Close closes all connections and releases the lock.
func (e *Engine) Close() error {
	var errs []error
	// If the paths lead to other files, the writer stays open until the process ends: when its
	// last connection closes, SQLite would write its log to those files.
	if e.writer != nil && e.files.mayClose() {
		errs = append(errs, e.writer.conn.Close())
	}
	for _, pool := range []*Pool{e.read, e.keys} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Release())
	}
	return errors.Join(errs...)
}

// Query reads rows.
func (e *Engine) Query(ctx context.Context, text string, args ...any) (driver.Rows, error) {
	if err := e.files.known(); err != nil {
		return nil, err
	}
	return reader{e.read}.Query(ctx, text, args...)
}

// QueryRow reads one row.
func (e *Engine) QueryRow(ctx context.Context, text string, args []any, dest ...any) error {
	if err := e.files.known(); err != nil {
		return err
	}
	return e.read.QueryRow(ctx, text, args, dest...)
}

// Keys reads with the connection for keys.
func (e *Engine) Keys() driver.Reader { return reader{e.keys} }

// Stats returns the state of the pools.
func (e *Engine) Stats() (read, keys driver.PoolStats) { return e.read.Stats(), e.keys.Stats() }

// Exclusive reports whether this process serves the file.
func (e *Engine) Exclusive() bool { return e.lock != nil }

// CheckFiles returns an error that wraps ErrReplaced while a path leads to another file or
// none. It costs about 15 µs.
func (e *Engine) CheckFiles() error { return e.files.check() }

// SettleFiles is CheckFiles. If only the -wal or -shm file is missing, it copies the commits in
// the log to the database file.
func (e *Engine) SettleFiles(ctx context.Context) error {
	err := e.files.check()
	if err == nil || !e.files.ours() {
		return err
	}
	if cerr := e.checkpoint(ctx, "PASSIVE"); cerr != nil {
		err = errors.Join(err, cerr)
	}
	return err
}

// Shrunk reports, once each time, that the database or its -wal file is smaller than it was:
// after a checkpoint or VACUUM of SQLite, or after damage, which Verify finds.
func (e *Engine) Shrunk() bool { return e.files.takeShrunk() }

// EmptyLog empties the write-ahead log, which has old versions of pages. Free pages of the
// file are overwritten when they become free (secure_delete).
func (e *Engine) EmptyLog(ctx context.Context) error {
	if err := e.files.check(); err != nil {
		return err
	}
	defer e.files.logEmptied()
	return e.checkpoint(ctx, "TRUNCATE") // a reader prevents the truncation; the next checkpoint comes soon
}

func (e *Engine) checkpoint(ctx context.Context, mode string) error {
	var busy, pages, moved int
	return e.read.QueryRow(ctx, `PRAGMA wal_checkpoint(`+mode+`)`, nil, &busy, &pages, &moved)
}

// Verify examines every page and index, and returns the damage that it found. It reads the
// whole file.
func (e *Engine) Verify(ctx context.Context) error {
	var verdict string
	if err := e.read.QueryRow(ctx, `PRAGMA integrity_check(1)`, nil, &verdict); err != nil {
		return fmt.Errorf("examine the database: %w", err)
	}
	if verdict != "ok" {
		return errors.New(strings.ReplaceAll(verdict, "\n", " "))
	}
	return nil
}

// Listen returns: no other node uses the file.
func (*Engine) Listen(context.Context, string, func()) {}

// ProbeWrite returns nil: a transaction locks the whole file.
func (*Engine) ProbeWrite(context.Context, string) error { return nil }

// Partitioned reports that rows of all times can be inserted: tables have no partitions.
func (*Engine) Partitioned(context.Context, string) (covers func(time.Time) bool, err error) {
	return func(time.Time) bool { return true }, nil
}

// AddPartitions returns nil.
func (*Engine) AddPartitions(context.Context, string, ...time.Time) error { return nil }

// DropPartition reports that the table has no partitions.
func (*Engine) DropPartition(context.Context, string, time.Time) (dropped, partitioned bool, err error) {
	return false, false, nil
}

// reader reads from a pool.
type reader struct{ *Pool }

func (r reader) Query(ctx context.Context, text string, args ...any) (driver.Rows, error) {
	rows, err := r.Pool.Query(ctx, text, args...)
	if err != nil {
		return nil, err // A nil *Rows would not be a nil driver.Rows.
	}
	return rows, nil
}
