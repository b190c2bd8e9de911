package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jackc/pgx/v5/stdlib"
)

// State is the extent of an installation in a database.
type State int

// The states of a database, in the order in which an installation comes to be.
const (
	Missing  State = iota // no file
	Empty                 // file of 0 bytes
	Blank                 // no tables of this program
	Prepared              // tables but no keys: Migrate made them, and no server has used them
	Used                  // an installation
)

// String completes a sentence that begins with the database.
func (s State) String() string {
	return [...]string{
		"is missing", "is empty (0 bytes)", "has no tables of countersign",
		"was prepared by migrate up, but never used", "is an installation",
	}[s]
}

// Inspect returns the state of a database without changing it. A damaged file is
// an error.
func Inspect(ctx context.Context, database string) (State, error) {
	state, err := inspect(ctx, database)
	if err != nil {
		return state, fmt.Errorf("database %s: %w", Redact(database), err)
	}
	return state, nil
}

func inspect(ctx context.Context, database string) (state State, err error) {
	if IsPostgres(database) {
		conf, err := parsePostgres(database)
		if err != nil {
			return Missing, err
		}
		db := stdlib.OpenDB(*conf)
		state, err = stateOf(ctx, db, `to_regclass('settings') IS NOT NULL`)
		return state, cmp.Or(err, db.Close())
	}
	info, err := os.Stat(database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		state = Missing
	case err != nil:
		return Missing, err
	case info.Size() == 0:
		state = Empty
	default:
		if err := checkName(database); err != nil {
			return Missing, err
		}
		return stateOfFile(ctx, database)
	}
	// SQLite would delete the log when it opens an empty file.
	if wal, err := os.Stat(database + "-wal"); err == nil && wal.Size() > 0 {
		return state, fmt.Errorf("it %s, but its write-ahead log %s-wal has %d bytes of data: keep a copy of it, then restore a backup (countersign restore --from FILE)",
			state, database, wal.Size())
	}
	return state, nil
}

func stateOfFile(ctx context.Context, path string) (State, error) {
	db, err := sql.Open("sqlite", fileURI(path, "busy_timeout(2000)")+"&mode=rw")
	if err != nil {
		return Missing, err
	}
	db.SetMaxOpenConns(1)
	state, err := stateOf(ctx, db, `EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'settings')`)
	if err = cmp.Or(err, db.Close()); err != nil {
		return state, fmt.Errorf("it cannot be read: %w; if it is damaged, restore a backup (countersign restore --from FILE)", err)
	}
	return state, nil
}

// stateOf looks for our tables, and for the keys in them.
func stateOf(ctx context.Context, db *sql.DB, tables string) (State, error) {
	var found bool
	if err := db.QueryRowContext(ctx, `SELECT `+tables).Scan(&found); err != nil || !found {
		return Blank, err
	}
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM settings WHERE name = $1)`, keyCheck).Scan(&found); err != nil || !found {
		return Prepared, err
	}
	return Used, nil
}
