package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// fileLock keeps a second server away from an SQLite file. The kernel drops it
// with the process, however that ends.
type fileLock struct{ f *os.File }

// ErrInUse is returned by Open when another server has the database.
var ErrInUse = errors.New("another server is using it")

func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return &fileLock{f}, nil
}

func (l *fileLock) release() error { return l.f.Close() }
