package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/vault"
)

var restoredAt = time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)

// TestRestore: the content of the backup is restored, and the later content is moved aside.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		path, backup := backedUp(t)
		if lost {
			must(t, os.Remove(path))
		} else {
			must(t, os.WriteFile(path+"-wal", []byte("of the old database"), 0o600))
		}
		// A killed restore leaves files, which must not affect the database.
		for _, end := range []string{"", "-wal", "-journal"} {
			must(t, os.WriteFile(path+".partial"+end, []byte("leftover"), 0o600))
		}
		done, err := store.Restore{Database: path, From: backup, Key: key, Now: restoredAt}.Run(t.Context())
		must(t, err)
		if !slices.Contains(done.Tables, store.TableRows{Name: "accounts", Rows: 1}) {
			t.Errorf("tables %v, want one account", done.Tables)
		}
		var want []string
		if !lost {
			want = []string{path + ".before-2026-11-22-030405", path + ".before-2026-11-22-030405-wal"}
		}
		if !slices.Equal(done.Aside, want) {
			t.Errorf("moved aside %q, want %q", done.Aside, want)
		}
		for _, name := range want {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
		if left, _ := filepath.Glob(path + ".partial*"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
		}
		db, err := open(t, path, key, true)
		must(t, err)
		wantBalance(t, db, "demo0001", 1, 0)
		must(t, db.Close())
	}
}

// TestRestoreRefuses: a refused restore changes no file.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, r *store.Restore)
		is    error
		says  string
	}{
		"while a server runs": {spoil: func(t *testing.T, r *store.Restore) {
			t.Helper()
			db, err := open(t, r.Database, key, true)
			must(t, err)
			t.Cleanup(func() { must(t, db.Close()) })
		}, is: store.ErrInUse},
		"another key":     {spoil: func(_ *testing.T, r *store.Restore) { r.Key = vault.NewKey() }, is: vault.ErrKey},
		"PostgreSQL":      {spoil: func(_ *testing.T, r *store.Restore) { r.Database = "postgres://db/name" }, is: store.ErrBackup},
		"no backup":       {spoil: func(_ *testing.T, r *store.Restore) { r.From += ".missing" }, is: os.ErrNotExist},
		"a directory":     {spoil: func(_ *testing.T, r *store.Restore) { r.From = filepath.Dir(r.From) }, says: "is not a file"},
		"itself":          {spoil: func(_ *testing.T, r *store.Restore) { r.From = r.Database }, says: "the database itself"},
		"empty":           {spoil: rewrite(func([]byte) []byte { return nil }), says: "not a backup of an installation"},
		"truncated":       {spoil: rewrite(func(b []byte) []byte { return b[:len(b)/2] }), says: "malformed"},
		"damaged inside":  {spoil: rewrite(damage), says: "integrity check"},
		"no installation": {spoil: rewrite(func([]byte) []byte { return []byte(strings.Repeat("text ", 1000)) }), says: "not a database"},
		"a copy of the file alone": {spoil: func(t *testing.T, r *store.Restore) {
			t.Helper()
			must(t, os.WriteFile(r.From+"-wal", []byte("changes"), 0o600))
		}, says: "unmerged changes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, backup := backedUp(t)
			r := store.Restore{Database: path, From: backup, Key: key, Now: restoredAt}
			c.spoil(t, &r)
			before := listing(t, filepath.Dir(path))
			_, err := r.Run(t.Context())
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v %q", err, c.is, c.says)
			}
			if after := listing(t, filepath.Dir(path)); !slices.Equal(before, after) {
				t.Errorf("files were %q, are %q", before, after)
			}
		})
	}
}

// backedUp returns a database with an account with a balance of 2, and its backup with 1.
func backedUp(t *testing.T) (path, copied string) {
	t.Helper()
	path, copied = sqlite(t), filepath.Join(t.TempDir(), "backup.db")
	db, err := open(t, path, key, true)
	must(t, err)
	addAccount(t, db, "demo0001", 1)
	backup(t, db, copied)
	addAccount(t, db, "demo0002", 1)
	must(t, db.Close())
	return path, copied
}

func rewrite(change func([]byte) []byte) func(*testing.T, *store.Restore) {
	return func(t *testing.T, r *store.Restore) {
		t.Helper()
		content, err := os.ReadFile(r.From)
		must(t, err)
		must(t, os.WriteFile(r.From, change(content), 0o600))
	}
}

// damage overwrites every second page, except the first pages with the schema.
func damage(content []byte) []byte {
	for page := 8; (page+1)*4096 <= len(content); page += 2 {
		copy(content[page*4096:(page+1)*4096], strings.Repeat("x", 4096))
	}
	return content
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func backup(t *testing.T, db *store.DB, to string) {
	t.Helper()
	_, err := db.Backup(t.Context(), to)
	must(t, err)
}
