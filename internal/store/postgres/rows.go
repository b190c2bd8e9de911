package postgres

import "github.com/jackc/pgx/v5"

// rows are the rows of the last statement that was sent. They implement [driver.Rows].
type rows struct {
	pgx.Rows
	conn    *Writer
	query   string
	results pgx.BatchResults // nil after the last row
	err     error
}

// Next reports whether there is another row.
func (r *rows) Next() bool {
	if r.results != nil && r.Rows.Next() {
		return true
	}
	_ = r.Close()
	return false
}

// Err returns the error that ended the rows early.
func (r *rows) Err() error { return r.err }

// Close reads the remaining rows, so that the next statement can be sent.
func (r *rows) Close() error {
	if r.results == nil {
		return r.err
	}
	r.Rows.Close()
	err := r.Rows.Err()
	if cerr := r.results.Close(); err == nil {
		err = cerr
	}
	r.results = nil
	if err != nil {
		r.err = r.conn.fail(r.query, err)
	}
	return r.err
}
