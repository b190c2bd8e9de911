// Package atomicfile writes files that appear under their name only when they are
// complete and on disk. Writers fill NAME.partial, flush it and rename it,
// then flush the directory. A killed process leaves at most NAME.partial, which
// the next writer of NAME replaces.
//
// Standard output, devices and pipes have no complete state: they are written directly.
package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"countersign/internal/filelock"
)

// Suffix is the end of the name of a file that is not complete.
const Suffix = ".partial"

// ErrBusy indicates that another process is writing the same file.
var ErrBusy = errors.New("another process is writing this file")

// File is a file to be written. Close discards it unless Commit was called.
type File struct {
	*os.File        // NAME.partial, or the device
	name     string // final name; "" for a device
	replace  bool
	done     bool
}

// WriteFile writes a file, or replaces it. A new file has the mode perm; a replaced file
// keeps its mode.
func WriteFile(name string, data []byte, perm fs.FileMode) error {
	f, err := Replace(name, perm)
	return f.finish(data, err)
}

// WriteNew writes a file with the mode perm. It returns an error that wraps fs.ErrExist
// if the file exists.
func WriteNew(name string, data []byte, perm fs.FileMode) error {
	f, err := Create(name, perm)
	return f.finish(data, err)
}

func (f *File) finish(data []byte, err error) error {
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Commit()
	}
	return cmp.Or(err, f.Close())
}

// Create begins a file that must not exist, neither now nor when it is committed: the
// error wraps fs.ErrExist. perm is its mode; the umask does not apply.
func Create(name string, perm fs.FileMode) (*File, error) {
	if device(name) {
		return openDevice(name)
	}
	if _, err := os.Lstat(name); err == nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return open(name, perm, false)
}

// Replace begins a file that may replace an existing file. perm is the mode of a new
// file; an existing file hands its mode on. A symlink stays: its target is replaced.
func Replace(name string, perm fs.FileMode) (*File, error) {
	if device(name) {
		return openDevice(name)
	}
	target, err := filepath.EvalSymlinks(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = name
	case err != nil:
		return nil, err
	default:
		info, err := os.Stat(target)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.EISDIR}
		}
		perm = info.Mode().Perm()
	}
	return open(target, perm, true)
}

// device reports whether a name leads to anything but a regular file or a directory, or
// into /dev and /proc, where /dev/stdout may lead to a regular file.
func device(name string) bool {
	if path, err := filepath.Abs(name); err == nil && (strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/")) {
		info, err := os.Stat(path)
		return err == nil && (!info.Mode().IsRegular() || strings.HasSuffix(path, "/stdout") || strings.Contains(path, "/fd/"))
	}
	info, err := os.Stat(name)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

func openDevice(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &File{File: f, done: true}, nil
}

// tries bounds how often a leftover may vanish or appear while open looks at it.
const tries = 10

// open creates NAME.partial and locks it against other writers. A leftover is removed and
// not truncated: it may be a second name of a complete file, if a writer was killed
// between the two steps of [File.publish].
func open(name string, perm fs.FileMode, replace bool) (*File, error) {
	partial := name + Suffix
	for range tries {
		f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			if err := removeLeftover(partial); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			err = cmp.Or(err, f.Close())
			if errors.Is(err, errMoved) {
				continue
			}
			return nil, err
		}
		out := &File{File: f, name: name, replace: replace}
		if err := f.Chmod(perm); err != nil {
			return nil, cmp.Or(err, out.Close())
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s: %w", name, ErrBusy)
}

// errMoved indicates that a file is no longer the one under its name.
var errMoved = errors.New("the file was replaced by another writer")

// lock locks a file that was just opened, and checks that it still has its name: another
// writer may have removed it in between.
func lock(f *os.File) error {
	if err := filelock.TryLock(f); err != nil {
		if errors.Is(err, filelock.ErrLocked) {
			return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
		}
		return err
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(f.Name()); err != nil || !os.SameFile(ours, now) {
		return errMoved
	}
	return nil
}

// removeLeftover removes NAME.partial of a killed process. It returns ErrBusy if its
// writer lives.
func removeLeftover(partial string) error {
	f, err := os.OpenFile(partial, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = lock(f)
		if err == nil {
			err = os.Remove(partial)
		}
		if err = cmp.Or(err, f.Close()); errors.Is(err, errMoved) {
			return nil
		}
		return err
	}
	if info, statErr := os.Lstat(partial); statErr == nil && info.Mode()&fs.ModeSymlink != 0 {
		return os.Remove(partial) // no writer makes one
	}
	return err
}

// Commit flushes the file, renames it, and flushes the directory. When it returns
// nil, the file survives a crash of the machine.
func (f *File) Commit() error {
	if f.done {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.publish(); err != nil {
		return err
	}
	f.done = true
	return SyncDir(filepath.Dir(f.name))
}

// publish renames the file. A link refuses an existing file, which a rename would
// replace; file systems without links have the rename only.
func (f *File) publish() error {
	if f.replace {
		return os.Rename(f.Name(), f.name)
	}
	err := os.Link(f.Name(), f.name)
	if err == nil {
		return os.Remove(f.Name())
	}
	if errors.Is(err, fs.ErrExist) {
		return &fs.PathError{Op: "create", Path: f.name, Err: fs.ErrExist}
	}
	if _, exists := os.Lstat(f.name); exists == nil {
		return &fs.PathError{Op: "create", Path: f.name, Err: fs.ErrExist}
	}
	return os.Rename(f.Name(), f.name)
}

// Close closes the file. Without a Commit before, it removes the partial file.
func (f *File) Close() error {
	var err error
	if !f.done {
		f.done = true
		err = os.Remove(f.Name()) // while the lock is held
	}
	return errors.Join(err, f.File.Close())
}

// SyncDir flushes a directory, so that names in it survive a crash of the machine. File
// systems that cannot flush a directory are skipped.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
