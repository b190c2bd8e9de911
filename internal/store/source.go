package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"countersign/internal/store/sqlite"
	"countersign/internal/vault"
)

// Settings and statements of a copy from SQLite to PostgreSQL (package copy).
const (
	KeyCheck  = keyCheck // setting that identifies the installation
	CopyMark  = "copy"   // setting with the progress of a copy into this database:
	CopyBegun = "begun"  // or, after the end of the copy, the checksum of the source

	// ReleaseLeases makes the rows due that a stopped server had leased.
	ReleaseLeases = releaseClaims
)

// Source is an SQLite database with the schema of this program, from which a copy reads.
type Source struct {
	*sql.DB
	lock *sqlite.Lock // nil for an empty source
}

// OpenSource opens an existing file as a server does, so that no server uses it until Close. It
// brings the schema up to date. Its error wraps ErrInUse, or vault.ErrKey if the key does not
// open the database.
func OpenSource(ctx context.Context, path string, key vault.Key) (*Source, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("no database: %w", err) // LockFile requires a file
	}
	lock, err := sqlite.LockFile(path)
	if err != nil {
		return nil, err
	}
	return openSource(ctx, path, lock, func(db *sql.DB) error {
		return newDB(sqlite.File(path), slog.New(slog.DiscardHandler)).openKeys(ctx, db, Config{Key: key})
	})
}

// EmptySource returns a new database in memory, as Migrate makes it.
func EmptySource(ctx context.Context) (*Source, error) {
	return openSource(ctx, ":memory:", nil, func(*sql.DB) error { return nil })
}

func openSource(ctx context.Context, path string, lock *sqlite.Lock, keys func(*sql.DB) error) (*Source, error) {
	db, err := sqlite.OpenSQL(path)
	if err == nil {
		if err = migrate(ctx, db, sqlite.File(path)); err == nil {
			err = keys(db)
		}
	}
	s := &Source{db, lock}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the database and releases the file.
func (s *Source) Close() error {
	var errs []error
	if s.DB != nil {
		errs = append(errs, s.DB.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Release())
	}
	return errors.Join(errs...)
}
