package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"countersign/internal/store/driver"
)

// State is the extent of an installation in a database.
type State int

// The states of a database, in the order of an installation's life.
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
		return state, fmt.Errorf("database %s: %w", at(database), err)
	}
	return state, nil
}

func inspect(ctx context.Context, database string) (state State, err error) {
	at := at(database)
	err = at.Inspect(ctx, func(db *sql.DB) (err error) {
		state, err = stateOf(ctx, db, at.Dialect())
		return err
	})
	switch {
	case errors.Is(err, driver.ErrMissing):
		return Missing, nil
	case errors.Is(err, driver.ErrEmpty):
		return Empty, nil
	}
	return state, err
}

// stateOf looks for our tables, and for the keys in them.
func stateOf(ctx context.Context, db *sql.DB, d driver.Dialect) (State, error) {
	var found bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (`+fmt.Sprintf(d.Columns, "settings")+`)`).Scan(&found); err != nil || !found {
		return Blank, err
	}
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM settings WHERE name = $1)`, keyCheck).Scan(&found); err != nil || !found {
		return Prepared, err
	}
	return Used, nil
}
