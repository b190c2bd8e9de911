package atomicfile

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrDiskFull is wrapped by errors of a write that found no space on the disk, or that
// exceeded the quota of its owner.
var ErrDiskFull = errors.New("disk full")

// FullError is the error of a write to a full disk. It wraps [ErrDiskFull] and Err.
type FullError struct {
	Where string // file or database
	Cause error  // the error of the database or system alone
	Err   error  // the whole chain
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%v: no space left for %s: %v", ErrDiskFull, e.Where, e.Cause)
}

func (e *FullError) Unwrap() []error { return []error{ErrDiskFull, e.Err} }

// Full returns err, as a *FullError that names the file if the reason is a full disk.
func Full(file string, err error) error {
	if IsFull(err) {
		return &FullError{file, err, err}
	}
	return err
}

// IsFull reports whether err is the error of a system call that found no space.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
