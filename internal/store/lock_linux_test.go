package store_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"countersign/internal/store"
)

// TestLocksAreKept: reading the schema while a server runs must not release SQLite's locks.
// Without them, another program that closes the file, such as the sqlite3 shell, would
// remove the write-ahead log in use, and lose all later writes of the server.
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
