package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"countersign/internal/filelock"
	"countersign/internal/store/driver"
)

// Lock keeps a second server away from an SQLite file, under any of its names. The
// kernel releases it with the process.
type Lock struct{ f *os.File }

// LockFile locks the SQLite file itself. It must be called before SQLite opens the file,
// and Release after SQLite has closed it: see package filelock.
func LockFile(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lockOpen(f); err != nil {
		return nil, cmp.Or(err, f.Close())
	}
	return &Lock{f}, nil
}

func lockOpen(f *os.File) error {
	if err := filelock.TryLock(f); err != nil {
		if errors.Is(err, filelock.ErrLocked) {
			return driver.ErrInUse
		}
		return err
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(f.Name()); err != nil || !os.SameFile(ours, now) {
		return fmt.Errorf("%s was replaced by another file just now; try again", f.Name())
	}
	return checkLog(f)
}

// ErrOtherName is returned if a server has the SQLite file open under another name: a
// second write-ahead log, under this name, would corrupt the database.
var ErrOtherName = errors.New("a server uses this file under another name (hard link or mount), or is just starting; use the name in its configuration")

// checkName refuses a file that a server uses under another name. A server keeps a
// write-ahead log under the name that it uses, so a locked file without one has another
// name. It must be called before SQLite opens the file.
func checkName(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	locked, err := filelock.Locked(f)
	if err := cmp.Or(err, f.Close()); err != nil || !locked {
		return err
	}
	name, err := filepath.EvalSymlinks(path) // as SQLite does
	if err != nil {
		return err
	}
	if _, err := os.Stat(name + "-wal"); errors.Is(err, fs.ErrNotExist) {
		return ErrOtherName
	}
	return nil
}

// Release releases the lock.
func (l *Lock) Release() error { return l.f.Close() }
