package store

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"
	sqlite3 "modernc.org/sqlite/lib"

	"countersign/internal/atomicfile"
	"countersign/internal/store/sqlite"
)

// ErrDiskFull is wrapped by errors of a write that found no space on the disk, or that
// exceeded the quota of its owner.
var ErrDiskFull = atomicfile.ErrDiskFull

// diskFull returns err, as an error that wraps ErrDiskFull and names the database or file
// if the reason is a full disk.
func diskFull(where string, err error) error {
	if err == nil || errors.Is(err, ErrDiskFull) {
		return err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		if e.Code == noSpace {
			return &atomicfile.FullError{Where: "the PostgreSQL server of " + Redact(where), Cause: e, Err: err}
		}
		return err
	}
	if code, e := sqlite.AsError(err); e != nil {
		if code == sqlite3.SQLITE_FULL || mayBeFull(code) && noRoom(filepath.Dir(where)) {
			return &atomicfile.FullError{Where: where, Cause: e, Err: err}
		}
		return err
	}
	return atomicfile.Full(where, err)
}

// mayBeFull reports whether a full disk may be the reason of an SQLite error code.
func mayBeFull(code int) bool {
	switch code {
	case sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE,
		sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_CANTOPEN:
		return true
	}
	return false
}

// noRoom reports whether a directory has no space for a file of the size that SQLite adds
// at a time.
func noRoom(dir string) bool {
	f, err := os.CreateTemp(dir, ".countersign-space-*")
	if err != nil {
		return atomicfile.IsFull(err)
	}
	_, err = f.Write(make([]byte, 64<<10))
	_ = f.Close()           // the write decides
	_ = os.Remove(f.Name()) // at worst, an empty file is left
	return atomicfile.IsFull(err)
}
