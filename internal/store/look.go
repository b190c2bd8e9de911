package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
)

// ErrOlderSchema is returned by Look for an older schema, which the next server, or
// Migrate, brings up to date.
var ErrOlderSchema = errors.New("the schema is older than this program")

// Look calls use with a read-only database, without a key and without a migration. The
// error wraps [ErrOlderSchema] or [ErrNewerSchema] if the schema has another version than
// this program. The database must be [Prepared] or [Used].
func Look(ctx context.Context, database string, use func(*DB) error) error {
	db := newDB(at(database), slog.New(slog.DiscardHandler))
	err := db.current(ctx)
	if err == nil {
		db.engine, err = db.at.Look(ctx)
	}
	if err == nil {
		err = use(db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("database %s: %w", db.at, err)
	}
	return nil
}

// current returns nil if the schema has the version of this program.
func (db *DB) current(ctx context.Context) error {
	return db.at.Inspect(ctx, func(pool *sql.DB) error {
		p, err := provider(pool, db.at)
		if err != nil {
			return err
		}
		have, want, err := versions(ctx, pool, db.at, p)
		if err == nil && have < want {
			err = fmt.Errorf("schema version %d, but this program has %d: %w", have, want, ErrOlderSchema)
		}
		return err
	})
}
