package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"countersign/internal/store"
)

// TestOneServerUnderAnyName starts a second server, and a tool, on the file of a running
// server, under each other name of the file.
func TestOneServerUnderAnyName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other func(t *testing.T, path string) string
		tool  error // result of a tool under the other name
	}{
		"same name": {func(_ *testing.T, path string) string { return path }, nil},
		"relative": {func(t *testing.T, path string) string {
			t.Helper()
			dir, err := os.Getwd()
			must(t, err)
			path, err = filepath.Rel(dir, path)
			must(t, err)
			return path
		}, nil},
		"dots": {func(_ *testing.T, path string) string { return filepath.Dir(path) + "/./../data/countersign.db" }, nil},
		"symlink": {func(t *testing.T, path string) string {
			t.Helper()
			link := filepath.Join(t.TempDir(), "link.db")
			must(t, os.Symlink(path, link))
			return link
		}, nil},
		"symlink to the directory": {func(t *testing.T, path string) string {
			t.Helper()
			link := filepath.Join(t.TempDir(), "link")
			must(t, os.Symlink(filepath.Dir(path), link))
			return filepath.Join(link, filepath.Base(path))
		}, nil},
		"hard link": {func(t *testing.T, path string) string {
			t.Helper()
			link := filepath.Join(filepath.Dir(filepath.Dir(path)), "hard.db")
			must(t, os.Link(path, link))
			return link
		}, store.ErrOtherName},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data", "countersign.db")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			db, err := open(t, path, key, true)
			must(t, err)
			defer func() { must(t, db.Close()) }()
			other := c.other(t, path)
			if second, err := open(t, other, key, true); !errors.Is(err, store.ErrInUse) {
				t.Errorf("a second server: %v, %v; want ErrInUse", second, err)
			}
			tool, err := open(t, other, key, false)
			if !errors.Is(err, c.tool) {
				t.Errorf("a tool: %v, want %v", err, c.tool)
			}
			if err == nil {
				must(t, tool.Close())
			}
			if name == "hard link" { // without a server any name is valid
				if _, err := os.Stat(other + "-wal"); err == nil {
					t.Error("a second write-ahead log was made")
				}
			}
		})
	}
}
