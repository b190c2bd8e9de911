package sqlite

import (
	"errors"
	"os"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"

	"countersign/internal/atomicfile"
)

// Full returns err, as an error that wraps atomicfile.ErrDiskFull and names the file if the
// reason is a full disk.
func (f File) Full(err error) error {
	if err == nil || errors.Is(err, atomicfile.ErrDiskFull) {
		return err
	}
	if code, e := AsError(err); e != nil {
		if code == sqlite3.SQLITE_FULL || mayBeFull(code) && noRoom(filepath.Dir(string(f))) {
			return &atomicfile.FullError{Where: string(f), Cause: e, Err: err}
		}
		return err
	}
	return atomicfile.Full(string(f), err)
}

// Reason returns the error of SQLite that err wraps, or nil.
func (File) Reason(err error) error {
	_, e := AsError(err)
	return e
}

// Damaged reports whether an error means that a file is damaged. Such an error returns each
// time that the same place is read, and other reads succeed.
func Damaged(err error) bool {
	code, found := AsError(err)
	if found == nil {
		return false
	}
	switch code {
	case sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS:
		return true
	}
	primary := code & 0xff // an extended code has it in its low octet
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB
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
	_ = f.Close()           // the result of the write decides
	_ = os.Remove(f.Name()) // at worst, an empty file is left
	return atomicfile.IsFull(err)
}
