package store

import "context"

// SQL runs the statements of a package that keeps its own table in the database, such as the
// inbox of the virtual phone. Statements use $1, $2, … and must be constant and valid on both
// engines.
type SQL struct{ db *DB }

// SQL returns access to the tables of other packages.
func (db *DB) SQL() SQL { return SQL{db} }

// Exec runs a statement in its own transaction and returns after the commit is durable.
func (s SQL) Exec(ctx context.Context, statement string, args ...any) error {
	return s.db.Write(ctx, Scope{}, func(tx *Tx) error { return tx.send(statement, args...) })
}

// Query calls do for each row of a result. scan reads the columns of the row.
func (s SQL) Query(ctx context.Context, do func(scan func(dest ...any) error) error, query string, args ...any) error {
	rows, err := s.db.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
