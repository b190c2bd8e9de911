package store_test

import (
	"os"
	"testing"
)

// TestPingWrites: each ping writes to the disk, so that it fails on a full one. SQLite does
// not write an unchanged value.
func TestPingWrites(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, false)
	must(t, err)
	defer db.Close()
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		must(t, err)
		return info.Size()
	}
	for range 3 {
		before := size()
		must(t, db.Ping(t.Context()))
		if grown := size() - before; grown < 64<<10 {
			t.Errorf("the log grew by %d bytes, want at least the size of a request's write", grown)
		}
	}
}
