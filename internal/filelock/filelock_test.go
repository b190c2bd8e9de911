package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"countersign/internal/filelock"
)

// TestTryLock locks one file by every kind of name.
func TestTryLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	first := open(t, name)
	if err := filelock.TryLock(first); err != nil {
		t.Fatal(err)
	}
	must(t, os.Symlink(name, filepath.Join(dir, "symlink")))
	must(t, os.Link(name, filepath.Join(dir, "hardlink")))
	for _, other := range []string{"a", "symlink", "hardlink"} {
		if err := filelock.TryLock(open(t, filepath.Join(dir, other))); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("%s: got %v, want ErrLocked", other, err)
		}
		if locked, err := filelock.Locked(open(t, filepath.Join(dir, other))); !locked || err != nil {
			t.Errorf("%s: Locked = %v, %v", other, locked, err)
		}
	}
	if locked, err := filelock.Locked(first); locked || err != nil {
		t.Errorf("Locked for the holder = %v, %v", locked, err)
	}
	if err := filelock.TryLock(open(t, filepath.Join(dir, "b"))); err != nil {
		t.Errorf("another file: %v", err)
	}
	must(t, first.Close())
	if err := filelock.TryLock(open(t, filepath.Join(dir, "hardlink"))); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
