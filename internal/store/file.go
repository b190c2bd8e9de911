package store

import (
	"context"

	"countersign/internal/atomicfile"
	"countersign/internal/store/driver"
	"countersign/internal/store/postgres"
	"countersign/internal/store/sqlite"
)

// Errors of the engines.
var (
	// ErrUnknown is wrapped where a commit has no certain outcome: the connection broke before
	// its answer, or no synchronous standby has confirmed it. The write may be durable or not,
	// and is not run again.
	ErrUnknown = driver.ErrUnknown
	// ErrDiskFull is wrapped by the error of a write if the disk is full or the owner's
	// quota is exceeded.
	ErrDiskFull = atomicfile.ErrDiskFull
	// ErrInUse is returned by Open if another server uses the database.
	ErrInUse = driver.ErrInUse
	// ErrOtherName is returned by Open if a server has the SQLite file open under another
	// name: a second write-ahead log, under this name, would corrupt the database.
	ErrOtherName = sqlite.ErrOtherName
	// ErrReplaced is wrapped by the errors of a database after its files were deleted, moved,
	// replaced or overwritten. The next start would not find a commit to the open files.
	ErrReplaced = sqlite.ErrReplaced
	// ErrHalfCopied is returned by Open for the target of a copy that is not complete.
	ErrHalfCopied = driver.ErrHalfCopied
)

// UnavailableError is the failure of a PostgreSQL server that cannot be reached, accepts no
// sessions, or executes no statements. It wraps the error of the driver.
type UnavailableError = postgres.UnavailableError

// Damaged reports whether an error means that an SQLite file is damaged. Such an error
// returns each time that the same place is read, and other reads succeed.
func Damaged(err error) bool { return sqlite.Damaged(err) }

// Serving reports whether a server has an SQLite file. It is false for a missing file and
// for PostgreSQL, which any number of servers may use. It must not be called in a process
// that has the file open: see package filelock.
func Serving(database string) bool { return at(database).Serving() }

// Verify examines every page and index of an SQLite file, and returns the damage that it
// found. It reads the whole file. For PostgreSQL it returns nil.
func (db *DB) Verify(ctx context.Context) error { return db.engine.Verify(ctx) }

// CheckFiles compares the paths of an SQLite database with the open files if Config.Serve is
// set. Its error wraps ErrReplaced. If only the -wal or -shm file is missing, it copies the
// commits in the log to the database file. Call it every second. Every commit also checks.
func (db *DB) CheckFiles(ctx context.Context) error { return db.engine.SettleFiles(ctx) }

// Shrunk reports, once each time, that the database or its -wal file is smaller than it
// was: a checkpoint or VACUUM of SQLite, or damage, which Verify finds.
func (db *DB) Shrunk() bool { return db.engine.Shrunk() }
