package store_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// TestLook: a database is read without a key and without a change, in both engines. A
// different schema version is refused.
func TestLook(t *testing.T) {
	t.Parallel()
	for _, database := range []string{pgtest.URL(t), filepath.Join(t.TempDir(), "countersign.db")} {
		accounts := 0
		look := func() error {
			return store.Look(t.Context(), database, func(db *store.DB) error {
				list, err := db.Accounts(context.Background())
				accounts = len(list)
				if err == nil {
					_, err = db.Prices(context.Background())
				}
				return err
			})
		}
		must(t, store.Migrate(t.Context(), database))
		must(t, look())
		addAccount(t, openFile(t, database, key), "demo0001", 1)
		must(t, look())
		if accounts != 1 {
			t.Errorf("%d accounts, want 1", accounts)
		}
		driver := "sqlite"
		if store.IsPostgres(database) {
			driver = "pgx"
		}
		version, err := sql.Open(driver, database)
		must(t, err)
		t.Cleanup(func() { _ = version.Close() })
		exec(t, version, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
		if err := look(); !errors.Is(err, store.ErrNewerSchema) {
			t.Errorf("newer schema: %v", err)
		}
		exec(t, version, `DELETE FROM goose_db_version WHERE version_id > 0`)
		if err := look(); !errors.Is(err, store.ErrOlderSchema) {
			t.Errorf("older schema: %v", err)
		}
	}
}
