package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// TestInspect: each state of a database, in both engines.
func TestInspect(t *testing.T) {
	t.Parallel()
	want := func(database string, want store.State) {
		t.Helper()
		if got, err := store.Inspect(t.Context(), database); got != want || err != nil {
			t.Errorf("the database %v (%v); want: %v", got, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "countersign.db")
	want(file, store.Missing)
	must(t, os.WriteFile(file, nil, 0o600))
	want(file, store.Empty)
	other := raw(t, filepath.Join(t.TempDir(), "other.db"))
	exec(t, other, `CREATE TABLE theirs (x INTEGER)`)
	exec(t, other, `VACUUM INTO $1`, file+".other")
	want(file+".other", store.Blank)
	for _, database := range []string{pgtest.URL(t), file} {
		if store.IsPostgres(database) {
			want(database, store.Blank)
		}
		must(t, store.Migrate(t.Context(), database))
		want(database, store.Prepared)
		openFile(t, database, key)
		want(database, store.Used)
	}
}

// TestInspectDamaged: a file that may contain data is never reported as a new database.
func TestInspectDamaged(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "whole.db")
	db, err := open(t, whole, key, true)
	must(t, err)
	addAccount(t, db, "demo0001", 1)
	must(t, db.Close())
	content, err := os.ReadFile(whole)
	must(t, err)
	for name, c := range map[string]struct {
		file, wal []byte
		missing   bool
	}{
		"half a header":        {file: content[:50]},
		"header only":          {file: content[:100]},
		"first page only":      {file: content[:4096]},
		"half":                 {file: content[:len(content)/2/4096*4096]},
		"zeros":                {file: make([]byte, len(content))},
		"text":                 {file: bytes.Repeat([]byte("text "), 1000)},
		"empty with a log":     {file: []byte{}, wal: content},
		"missing, but its log": {missing: true, wal: content},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "countersign.db")
			if !c.missing {
				must(t, os.WriteFile(path, c.file, 0o600))
			}
			if c.wal != nil {
				must(t, os.WriteFile(path+"-wal", c.wal, 0o600))
			}
			state, err := store.Inspect(t.Context(), path)
			if err == nil || !strings.Contains(err.Error(), "countersign restore") || !strings.Contains(err.Error(), path) {
				t.Errorf("the database %v, error %v; want an error that names the file and the remedy", state, err)
			}
			if got, err := os.ReadFile(path); !c.missing && (err != nil || !bytes.Equal(got, c.file)) {
				t.Errorf("the file was changed (%v)", err)
			}
			if got, err := os.ReadFile(path + "-wal"); c.wal != nil && (err != nil || !bytes.Equal(got, c.wal)) {
				t.Errorf("the log was changed (%v)", err)
			}
		})
	}
}
