// Package filelock locks a file for one open file description at a time.
//
// The lock belongs to the inode, so all names of a file (symlink, hard link, bind mount)
// share it. The kernel releases it when the description is closed, even if the process is
// killed.
//
// The lock is an open file description lock (F_OFD_SETLK) on one byte far beyond any
// content. SQLite's POSIX locks cover other bytes of the same file, so a database can be
// locked while SQLite uses it. flock(2) would conflict with them on NFS and on macOS.
//
// When a process closes ANY descriptor of a file, it loses all its POSIX locks on that
// file. So open the file to be locked before SQLite opens it, and close it after SQLite
// has closed it.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrLocked indicates that another open file description holds the lock.
var ErrLocked = errors.New("locked by another process")

// lockedByte is the offset of the locked byte. SQLite locks bytes from 2^30 to 2^30+511,
// and no file is this long.
const lockedByte = 1 << 62

// TryLock locks f, which must be open for writing, until f is closed. It does not block:
// the error wraps ErrLocked if another description holds the lock.
func TryLock(f *os.File) error {
	err := syscall.FcntlFlock(f.Fd(), setLock, region())
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("lock %s: %w", f.Name(), ErrLocked)
	case err != nil:
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// Locked reports whether another open file description holds the lock of f.
func Locked(f *os.File) (bool, error) {
	lock := region()
	if err := syscall.FcntlFlock(f.Fd(), getLock, lock); err != nil {
		return false, fmt.Errorf("reading the lock of %s: %w", f.Name(), err)
	}
	return lock.Type != syscall.F_UNLCK, nil
}

func region() *syscall.Flock_t {
	return &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: lockedByte, Len: 1}
}
