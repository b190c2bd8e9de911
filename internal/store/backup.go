package store

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// ErrBackup is returned by Backup for what is no file.
var ErrBackup = errors.New("a PostgreSQL database is backed up with PostgreSQL's own tools: pg_dump, or continuous archiving")

// Backup writes a consistent copy of the database to a new file while it is in
// use. The key is not in it.
func (db *DB) Backup(ctx context.Context, path string) error {
	if db.postgres() {
		return ErrBackup
	}
	// VACUUM INTO takes an empty file, which only its owner can read from the start.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	_, err = db.read.ExecContext(ctx, `VACUUM INTO $1`, path)
	// SQLite does not flush what it wrote.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("back up to %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}
