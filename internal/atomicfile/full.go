package atomicfile

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrDiskFull indicates a write that failed because the disk is full or a quota is
// exceeded.
var ErrDiskFull = errors.New("disk full")

// FullError is the error of a write to a full disk. It wraps [ErrDiskFull] and Err.
type FullError struct {
	Where string // file or database
	Cause error  // error of the database or system, without context
	Err   error  // error with its context
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%v: no space left for %s: %v", ErrDiskFull, e.Where, e.Cause)
}

func (e *FullError) Unwrap() []error { return []error{ErrDiskFull, e.Err} }

// Full returns err, wrapped in a *FullError with the file if the disk is full.
func Full(file string, err error) error {
	if IsFull(err) {
		return &FullError{file, err, err}
	}
	return err
}

// IsFull reports whether err wraps ENOSPC or EDQUOT.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
