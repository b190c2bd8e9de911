package store

import (
	"context"

	"countersign/internal/store/driver"
)

// ErrBackup is returned by Backup and Restore for a PostgreSQL database.
var ErrBackup = driver.ErrBackup

// TableRows is the number of rows of a table.
type TableRows = driver.TableRows

// Backup writes a consistent copy of the database to a new file while the database is in
// use. It checks the integrity of the copy and compares its row counts with the source
// before the file gets its name. The key is not in it. It returns the tables by name.
func (db *DB) Backup(ctx context.Context, path string) ([]TableRows, error) {
	return db.engine.Backup(ctx, path)
}
