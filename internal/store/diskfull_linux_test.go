package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// smallDisk mounts a tmpfs of the given size.
func smallDisk(t *testing.T, kib int) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a small disk")
	}
	dir = filepath.Join(t.TempDir(), "small")
	must(t, os.Mkdir(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("no small disk can be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fillDisk writes a file until left KiB are free.
func fillDisk(t *testing.T, path string, left int) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	info, err := f.Stat()
	must(t, err)
	must(t, f.Truncate(info.Size()-int64(left)<<10))
	must(t, f.Close())
}

// wantDiskFull checks that an error names the disk's state, the path, and one reason.
func wantDiskFull(t *testing.T, err error, path string) {
	t.Helper()
	if !errors.Is(err, store.ErrDiskFull) {
		t.Fatalf("got %v, want ErrDiskFull", err)
	}
	text := err.Error()
	if !strings.Contains(text, "disk full: no space left for "+path) || strings.ContainsAny(text, "\n;") || strings.Contains(text, "already") {
		t.Errorf("got %q, want one reason that names %s", text, path)
	}
}

// TestDiskFullAtStart opens a database on a disk with too little space, and adds space page
// by page, so that each step of a start fails once.
func TestDiskFullAtStart(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 1024)
	balloon, failed, opened := filepath.Join(dir, "balloon"), 0, 0
	for left := 0; opened < 3; left += 8 {
		must(t, os.RemoveAll(balloon))
		fillDisk(t, balloon, left)
		path := filepath.Join(dir, fmt.Sprint(left, ".db"))
		db, err := store.Open(t.Context(), store.Config{Database: path, Key: key, Serve: true, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			must(t, db.Close())
			opened++
		} else {
			wantDiskFull(t, err, path)
			failed++
		}
		for _, end := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + end)
		}
	}
	if failed < 10 {
		t.Errorf("%d starts failed: the disk was not full", failed)
	}
}

func TestDiskFullLater(t *testing.T) {
	t.Parallel()
	dir, elsewhere := smallDisk(t, 4096), sqlite(t)
	path, balloon := filepath.Join(dir, "countersign.db"), filepath.Join(dir, "balloon")
	db, err := open(t, path, key, true)
	must(t, err)
	defer db.Close()
	other, err := open(t, elsewhere, key, true)
	must(t, err)
	defer other.Close()
	fillDisk(t, balloon, 0)

	wantDiskFull(t, db.Ping(t.Context()), path)
	backup := filepath.Join(dir, "backup.db")
	_, err = other.Backup(t.Context(), backup)
	wantDiskFull(t, err, backup)
	wantDiskFull(t, vault.NewKey().Save(filepath.Join(dir, "key")), filepath.Join(dir, "key"))
	fresh := filepath.Join(dir, "fresh.db")
	wantDiskFull(t, store.Migrate(t.Context(), fresh), fresh)

	must(t, os.Remove(balloon))
	must(t, db.Ping(t.Context()))
}

// TestDiskFullPostgres fills the disk of PostgreSQL while Open makes the tables.
func TestDiskFullPostgres(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Start(t)
	dir := filepath.Join(filepath.Dir(postgres.Socket()), "small")
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a small disk")
	}
	must(t, os.Mkdir(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("no small disk can be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	info, err := os.Stat(filepath.Dir(dir))
	must(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	must(t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
	server := postgres.Create(t, "template0")
	pgtest.Exec(t, server, "CREATE TABLESPACE small LOCATION '"+dir+"'")
	pgtest.Exec(t, server, "CREATE DATABASE verify TEMPLATE template0 TABLESPACE small")
	fillDisk(t, filepath.Join(dir, "balloon"), 400)
	database := strings.Replace(server, "/test1?", "/verify?", 1)
	wantDiskFull(t, store.Migrate(t.Context(), database), "the PostgreSQL server of postgres://")
}
