package store_test

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/store"
)

// operation is a call of the store, and the tables that it needs, with spaces between.
type operation struct {
	tables string
	do     func(ctx context.Context, db *store.DB) error
}

// inTx returns do as an operation in a transaction.
func inTx(do func(tx *store.Tx) error) func(context.Context, *store.DB) error {
	return func(ctx context.Context, db *store.DB) error { return db.Write(ctx, store.Scope{}, do) }
}

// fails returns only the error of a call.
func fails[T any](_ T, err error) error { return err }

func fails3[T, U any](_ T, _ U, err error) error { return err }

// TestFailures: each operation returns the error of the database if any of its statements
// fails.
func TestFailures(t *testing.T) {
	t.Parallel()
	in := live(t)
	to := postgres(t)
	_, err := copyTo(t, in.path, to)
	must(t, err)
	for name, path := range map[string]string{"sqlite": in.twin(t), "postgres": to} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openFile(t, path, key)
			file, err := pgtest.Open(path)
			must(t, err)
			defer file.Close()
			operations := in.operations(t, db)
			for _, name := range slices.Sorted(maps.Keys(operations)) {
				op := operations[name]
				for _, table := range strings.Fields(op.tables) {
					wantFailure(t, file, table, name, func() error { return op.do(t.Context(), db) })
				}
			}
		})
	}
}

// wantFailure calls do while a table is missing. Its error has to name the table.
func wantFailure(t *testing.T, file *sql.DB, table, name string, do func() error) {
	t.Helper()
	exec(t, file, `ALTER TABLE `+table+` RENAME TO gone`)
	err := do()
	exec(t, file, `ALTER TABLE gone RENAME TO `+table)
	if err == nil || !strings.Contains(err.Error(), "no such table: "+table) && !strings.Contains(err.Error(), `relation "`+table+`" does not exist`) {
		t.Errorf("%s without the table %s: %v", name, table, err)
	}
}
