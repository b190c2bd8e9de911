// Package atomicfile writes files that appear under their name only when they are
// complete and on disk. A writer fills NAME.partial, flushes it, renames it, and flushes
// the directory. A killed process leaves at most NAME.partial, which the next writer of
// NAME replaces.
//
// Standard output, devices and pipes are written directly.
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

// Suffix is the end of the name of an incomplete file.
const Suffix = ".partial"

// ErrBusy indicates that another process is writing the same file.
var ErrBusy = errors.New("another process is writing this file")

// File is a file being written. Close discards it unless Commit was called.
type File struct {
	*os.File        // NAME.partial, or the device
	name     string // final name; "" for a device
	replace  bool
	done     bool
}

// WriteFile creates or replaces a file. A new file has the mode perm; a replaced file keeps
// its mode.
func WriteFile(name string, data []byte, perm fs.FileMode) error {
	f, err := Replace(name, perm)
	return f.finish(data, err)
}

// WriteNew creates a file with the mode perm. The error wraps fs.ErrExist if the file
// exists.
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

// Create starts writing a new file with the mode perm; the umask does not apply. The error
// of Create or Commit wraps fs.ErrExist if the file exists.
func Create(name string, perm fs.FileMode) (*File, error) {
	if device(name) {
		return openDevice(name)
	}
	if _, err := os.Lstat(name); err == nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return open(name, perm, false)
}

// Replace starts writing a file that may replace an existing one. perm is the mode of a new
// file; a replaced file keeps its mode. If name is a symlink, its target is replaced.
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

// device reports whether a name refers to anything but a regular file or a directory. It
// includes /dev/stdout and file descriptors in /dev and /proc, which may refer to regular
// files.
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

// tries limits the attempts of open while other writers create or remove the partial file.
const tries = 10

// open creates NAME.partial and locks it against other writers. A leftover is removed, not
// truncated: it may be a second name of a complete file if a writer was killed between the
// two steps of publish.
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

// errMoved indicates that the name of an open file no longer refers to it.
var errMoved = errors.New("the file was replaced by another writer")

// lock locks a newly opened file. It returns errMoved if another writer has removed or
// replaced the file in the meantime.
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

// removeLeftover removes NAME.partial of a killed process. The error wraps ErrBusy if its
// writer is running.
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
		return os.Remove(partial) // not created by a writer
	}
	return err
}

// Commit flushes the file, renames it, and flushes the directory. After it returns nil, the
// file survives a crash of the machine.
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

// publish moves the file to its final name. For Create it uses a hard link, which fails if
// the name exists, and falls back to a rename on file systems without hard links.
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

// Close closes the file. Without an earlier Commit it removes the partial file.
func (f *File) Close() error {
	var err error
	if !f.done {
		f.done = true
		err = os.Remove(f.Name()) // while the lock is held
	}
	return errors.Join(err, f.File.Close())
}

// SyncDir flushes a directory, so that its entries survive a crash of the machine. It returns
// nil on file systems that cannot flush a directory.
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
