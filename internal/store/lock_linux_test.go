package store_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"countersign/internal/store"
)

// TestLocksAreKept: reading the schema beside a running server must not release SQLite's
// locks. Without them, another program that closes the file (the sqlite3 shell, say)
// removes the write-ahead log in use, and with it all that the server writes afterwards.
func TestLocksAreKept(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, true)
	must(t, err)
	defer db.Close()
	_, err = store.Migrations(t.Context(), path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	shared := unix.Flock_t{Type: unix.F_WRLCK, Start: 1<<30 + 2, Len: 510} // SHARED_FIRST and SHARED_SIZE of SQLite
	must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &shared))
	if shared.Type == unix.F_UNLCK {
		t.Error("SQLite's lock on the database was released")
	}
}
