package store_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"countersign/internal/store"
)

// TestDamagedFile: Verify and reads report damage of a file, and other errors are no damage.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db, err := open(t, path, key, false)
	must(t, err)
	must(t, db.Verify(t.Context()))
	for range 20 {
		must(t, db.AddAudit(t.Context(), entry("a", "b", t0)))
	}
	must(t, db.Close())
	info, err := os.Stat(path)
	must(t, err)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	for page := int64(2); page < info.Size()/4096; page++ { // the header and the schema stay
		_, err := file.WriteAt([]byte("damage"), page*4096)
		must(t, err)
	}
	must(t, file.Close())
	err = store.Look(t.Context(), path, func(db *store.DB) error {
		if err := db.Verify(t.Context()); err == nil {
			t.Error("Verify finds no damage")
		}
		_, err := db.AuditLog(t.Context(), store.AuditFilter{Limit: 10})
		return err
	})
	if !store.Damaged(fmt.Errorf("wrapped: %w", err)) {
		t.Errorf("Damaged(%v) is false", err)
	}
	for _, err := range []error{nil, errors.New("file is not a database"), os.ErrNotExist} {
		if store.Damaged(err) {
			t.Errorf("Damaged(%v) is true", err)
		}
	}
}

// TestVerifyVerdict: Verify returns what SQLite finds in a file with readable pages.
func TestVerifyVerdict(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	file := raw(t, path)
	for _, statement := range []string{
		`CREATE TABLE extra (x INTEGER)`, `INSERT INTO extra VALUES (NULL)`, `PRAGMA writable_schema = ON`,
		`UPDATE sqlite_schema SET sql = 'CREATE TABLE extra (x INTEGER NOT NULL)' WHERE name = 'extra'`,
	} {
		exec(t, file, statement)
	}
	must(t, store.Look(t.Context(), path, func(db *store.DB) error {
		if err := db.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "extra.x") {
			t.Errorf("Verify = %v, want an error that names extra.x", err)
		}
		return nil
	}))
}
