// Package driver is the contract between package store and the database engines, as
// database/sql/driver is for database/sql. Packages sqlite and postgres implement
// [Database], [Engine] and [Writer]; package store is the only caller.
//
// An engine opens connections, runs statements and classifies errors. It must not know the
// tables of Countersign, batches, keys or verifications. Package store writes all statements
// about tables. Their few differences are in [Dialect].
package driver

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"time"
)

// Errors of engines. Package store exports the errors that its callers handle.
var (
	// ErrMissing is wrapped by errors of Inspect for a database file that does not exist.
	ErrMissing = errors.New("it is missing")
	// ErrEmpty is wrapped by errors of Inspect for a database file of 0 bytes.
	ErrEmpty = errors.New("it is empty (0 bytes)")
	// ErrInUse is wrapped if another server uses the database.
	ErrInUse = errors.New("another server is using it")
	// ErrBackup is returned for an engine with its own backup tools.
	ErrBackup = errors.New("a PostgreSQL database is backed up and restored with PostgreSQL's own tools: pg_dump and pg_restore, or continuous archiving")
	// ErrUnknown is wrapped if the outcome of a commit is unknown: the connection was lost
	// before the answer, or no synchronous standby has confirmed the commit. The write may
	// be durable or not, and is not run again.
	ErrUnknown = errors.New("the outcome of a commit is unknown")
	// ErrHalfCopied is returned by Start for the target of a copy that is not complete.
	ErrHalfCopied = errors.New("the copy into it is not complete; run countersign migrate copy (again)")
	// ErrLocked is wrapped by the error of a statement that exceeded its time limit, usually
	// while it waited for a lock. The transaction is rolled back.
	ErrLocked = errors.New("a statement exceeded its time limit")
	// ErrUndone is wrapped by [Writer.Failed] if the engine has rolled back the transaction
	// without a request.
	ErrUndone = errors.New("the engine has rolled back the transaction")
)

// Database is a database that need not be open, named by its path or URL.
type Database interface {
	// String returns the path, or the URL without password, for logs and errors.
	String() string
	Dialect() Dialect

	// Open opens the database. Options.Serve claims it.
	Open(ctx context.Context, o Options) (Engine, error)
	// Look opens an existing database for reads only.
	Look(ctx context.Context) (Engine, error)
	// Schema opens a connection for changes of the schema, without limits of time. It makes a
	// missing file.
	Schema(ctx context.Context) (*sql.DB, error)
	// LockSchema excludes other nodes from changing the schema until unlock is called.
	LockSchema(ctx context.Context, db *sql.DB) (unlock func() error, err error)
	// Inspect calls use with a read-only connection. It never changes the database. Its
	// error wraps ErrMissing or ErrEmpty for a file without a database.
	Inspect(ctx context.Context, use func(*sql.DB) error) error
	// Serving reports whether another process has claimed the database.
	Serving() bool

	// Full returns err, as an error that wraps atomicfile.ErrDiskFull and names the database
	// if the reason is a full disk.
	Full(err error) error
	// Reason returns the error of the engine that err wraps, or nil.
	Reason(err error) error
}

// Options are the settings of Open.
type Options struct {
	Log   *slog.Logger
	Serve bool // a server opens the database, not a command

	// Conflicts are names of constraints. A transaction violates one if another transaction has
	// added the same row at the same time. See [Conflict].
	Conflicts []string

	// Dial opens connections to a server; nil means a net.Dialer. The connections of Schema
	// and Inspect do not use it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Engine is an open database. Its methods may be called from many goroutines.
type Engine interface {
	Reader
	Files
	Nodes
	Partitions

	// Start opens the first writer, after the schema has been changed.
	Start(ctx context.Context) error
	// Writers returns the writers, after Start. All are in use at the same time.
	Writers() []Writer
	// Keys returns a reader with a separate connection, for code that occupies connections
	// of reads.
	Keys() Reader
	// Note takes the result of a use of the database that ends outside of the engine: a
	// write, or rows that were read. It returns the result, or the cause if the server is
	// unavailable.
	Note(err error) error
	// Stats returns the state of both pools: for reads, and for Keys.
	Stats() (read, keys PoolStats)
	// Close closes all connections. The caller has stopped the use of the writers.
	Close() error
}

// Reader reads outside of writes. It does not wait for writers.
type Reader interface {
	// Query returns rows that the caller closes.
	Query(ctx context.Context, text string, args ...any) (Rows, error)
	// QueryRow scans the first row into dest. It returns sql.ErrNoRows for an empty result.
	QueryRow(ctx context.Context, text string, args []any, dest ...any) error
}

// Files are the methods about the files of a database. They have no effect if a server
// keeps the files.
type Files interface {
	// Exclusive reports whether this process has claimed the database, so that no other server
	// uses it.
	Exclusive() bool
	// CheckFiles returns an error if the paths lead to other files than the open ones.
	CheckFiles() error
	// SettleFiles is CheckFiles. If commits may be lost with a missing file, it first copies
	// them to the database file.
	SettleFiles(ctx context.Context) error
	// Shrunk reports, once each time, that a file is smaller than it was.
	Shrunk() bool
	// Verify examines the whole database and returns the damage that it found.
	Verify(ctx context.Context) error
	// EmptyLog removes old content from the write-ahead log.
	EmptyLog(ctx context.Context) error
	// Backup writes a consistent copy to a new file, and returns the tables by name.
	Backup(ctx context.Context, path string) ([]TableRows, error)
}

// Nodes are the methods about several nodes on one database. They have no effect in an
// engine with one node.
type Nodes interface {
	// Listen calls wake after each notification on a channel (Dialect.Notify), and after each
	// connection, until ctx ends.
	Listen(ctx context.Context, channel string, wake func())
	// ProbeWrite takes and releases the lock of a writer on a table.
	ProbeWrite(ctx context.Context, table string) error
}

// Partitions are the methods about tables with a partition for each month. They have no
// effect in an engine without partitions.
type Partitions interface {
	// Partitioned returns a function that reports whether a row with a time can be inserted.
	Partitioned(ctx context.Context, table string) (covers func(time.Time) bool, err error)
	// AddPartitions makes the partitions for rows with some times, if they do not exist.
	AddPartitions(ctx context.Context, table string, times ...time.Time) error
	// DropPartition drops the oldest partition if its month was over at a time. partitioned is
	// false if the table has no partitions. dropped is also false while the table is locked.
	DropPartition(ctx context.Context, table string, over time.Time) (dropped, partitioned bool, err error)
}

// TableRows is the number of rows of a table.
type TableRows struct {
	Name string
	Rows int64
}

// PoolStats is the state of a pool of connections.
type PoolStats struct {
	InUse, Idle int           // open connections
	Limit       int           // connections that the pool may open
	Waits       int64         // waits for a free connection
	Waited      time.Duration // sum of these waits
}

// Writer is a connection for writes. One goroutine uses it, for one transaction at a time.
// Statements of a transaction are finished even if their callers have left, so no method
// has a context.
type Writer interface {
	// Begin begins a transaction. It opens a connection if the last one was lost.
	Begin() error
	// Exec runs a statement and returns the number of rows that it changed.
	Exec(query string, args []any) (changed int64, err error)
	// Send runs a statement without a result. Its error may be returned by a later call.
	Send(query string, args []any) error
	// Add is Send for a change of one row about an item, such as a verification. The engine may
	// combine it with the same change of other rows. Changes about one item keep their order.
	Add(c Change, about [16]byte, row []any) error
	// Query runs a statement and returns its rows. The caller closes them before the next call.
	Query(query string, args []any) (Rows, error)
	// Ask runs queries, in one round trip where that costs less, and calls the function of each
	// for each row.
	Ask(questions ...Question) error
	// Failed returns the error after which the transaction can only be rolled back; nil while it
	// can be committed.
	Failed() error
	// Commit makes the transaction durable. After an error it is rolled back, or unknown
	// (ErrUnknown).
	Commit() error
	// RollBack ends the transaction without a change.
	RollBack()
	// Retry returns the chance of success after a transaction has failed with err.
	Retry(err error) Retry
}

// Retry is the chance of success of the work of a transaction that failed.
type Retry int

// The chances of success.
const (
	Never    Retry = iota // the engine takes no writes, or the outcome is unknown
	Apart                 // one statement failed: the others may succeed in other transactions
	Conflict              // another transaction was in the way: the same work may succeed
	Lost                  // the connection was lost: the same work may succeed on another one
)

// Question is a query with the function for each row of its result.
type Question struct {
	Query string
	Args  []any
	Row   func(Scanner) error
}

// Scanner is a row of a result.
type Scanner interface{ Scan(dest ...any) error }

// Rows are the result of a query.
type Rows interface {
	Scanner
	// Next advances to the next row. It returns false at the end and after an error.
	Next() bool
	// Err returns the error that ended Next early.
	Err() error
	// Close is idempotent and returns the first error of the rows.
	Close() error
}
