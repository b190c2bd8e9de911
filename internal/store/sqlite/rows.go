package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Rows are the result of a query. They occupy their connection until the end, or Close.
type Rows struct {
	s     *stmt
	kept  bool // s remains in the cache of its connection
	first bool // the first row is ready, and Next has not been called
	row   bool // there is a row to scan
	err   error
	ctx   context.Context //nolint:containedctx // of the query, whose error Next returns
	stop  func() bool     // see Conn.interruptAt
	pool  *Pool           // Takes the connection back; nil for rows of a Conn.
}

// Query runs a statement up to its first row. If ctx ends before the rows are closed, the
// statement is interrupted, and Err returns the error of ctx. The caller must call Close, unless
// Next has returned false.
func (c *Conn) Query(ctx context.Context, text string, args ...any) (*Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, kept, err := c.take(text)
	if err != nil {
		return nil, err
	}
	r := &Rows{s: s, kept: kept, ctx: ctx}
	s.open = true
	if r.err = s.bind(args); r.err == nil {
		r.stop = c.interruptAt(ctx)
		r.step()
		// Where the schema has changed, the step has prepared the statement again.
		s.columns = int(sqlite3.Xsqlite3_column_count(c.tls, s.handle))
	}
	if r.err != nil {
		_ = r.Close() // returns r.err
		return nil, r.err
	}
	r.first = true
	return r, nil
}

// QueryRow scans the first row into dest. It returns sql.ErrNoRows for an empty result.
func (c *Conn) QueryRow(ctx context.Context, text string, args []any, dest ...any) error {
	rows, err := c.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	return rows.only(dest)
}

// only scans the first row into dest and closes the rows.
func (r *Rows) only(dest []any) error {
	err := sql.ErrNoRows
	if r.Next() {
		err = r.Scan(dest...)
	}
	if cerr := r.Close(); cerr != nil {
		return cerr
	}
	return err
}

// take returns the prepared statement of a text. kept is false if it is in use already:
// then the caller finalizes this one.
func (c *Conn) take(text string) (s *stmt, kept bool, err error) {
	if c.tls == nil {
		return nil, false, errors.New("sqlite: the connection is closed")
	}
	first := c.stmts[text]
	if first != nil && !first.open {
		return first, true, nil
	}
	if s, err = c.prepare(text); err != nil {
		return nil, false, err
	}
	if first != nil {
		c.extra++
		return s, false, nil
	}
	c.stmts[text] = s
	return s, true, nil
}

func (r *Rows) step() { r.row, r.err = r.s.stepFor(r.ctx) }

// Next advances to the next row, and to the first at first. It returns false at the end and
// after an error, see Err; then it closes the rows.
func (r *Rows) Next() bool {
	switch {
	case r.s == nil || r.err != nil:
		return false
	case r.first:
		r.first = false
	case r.row:
		r.step()
	}
	if !r.row {
		_ = r.Close() // Err returns its error
		return false
	}
	return true
}

// Err returns the error that ended Next early.
func (r *Rows) Err() error { return r.err }

// Close frees the connection and returns the first error of the rows. It is idempotent.
func (r *Rows) Close() error {
	if r.s == nil {
		return r.err
	}
	s := r.s
	r.s, r.row = nil, false
	s.c.endInterrupt(r.stop)
	r.err = s.done(r.kept, r.err)
	if r.pool != nil {
		r.pool.put(s.c)
	}
	return r.err
}

// Scan copies the columns of the current row into dest. Byte slices are copies.
func (r *Rows) Scan(dest ...any) error {
	if !r.row || r.first {
		return errors.New("sqlite: Scan without a row")
	}
	if len(dest) != r.s.columns {
		return fmt.Errorf("sqlite: %d destinations for %d columns", len(dest), r.s.columns)
	}
	for i, d := range dest {
		if err := r.s.scan(int32(i), d); err != nil {
			return fmt.Errorf("sqlite: column %d (%s): %w", i,
				libc.GoString(sqlite3.Xsqlite3_column_name(r.s.c.tls, r.s.handle, int32(i))), err)
		}
	}
	return nil
}

func (s *stmt) scan(i int32, dest any) error {
	kind := sqlite3.Xsqlite3_column_type(s.c.tls, s.handle, i)
	null := kind == sqlite3.SQLITE_NULL
	switch d := dest.(type) {
	case *int64:
		return s.scanInt(i, kind, d)
	case *string:
		return s.scanString(i, kind, d)
	case *[]byte:
		if *d = nil; !null {
			*d = bytes.Clone(s.octets(i, kind))
		}
		return nil
	case *sql.NullInt64:
		if d.Int64, d.Valid = 0, !null; null {
			return nil
		}
		return s.scanInt(i, kind, &d.Int64)
	case *sql.NullString:
		if d.String, d.Valid = "", !null; null {
			return nil
		}
		return s.scanString(i, kind, &d.String)
	case *bool:
		return s.scanBool(i, kind, d)
	case *int:
		var n int64
		err := s.scanInt(i, kind, &n)
		*d = int(n)
		return err
	case *float64:
		return s.scanFloat(i, kind, d)
	case *any:
		*d = s.value(i, kind)
		return nil
	case sql.Scanner:
		return d.Scan(s.value(i, kind))
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("destination %T is not a pointer", dest)
	}
	return s.scanKind(i, kind, p.Elem())
}

// scanKind scans by the kind of the destination's type.
func (s *stmt) scanKind(i, kind int32, v reflect.Value) error {
	switch k := v.Kind(); {
	case k == reflect.String:
		var text string
		err := s.scanString(i, kind, &text)
		v.SetString(text)
		return err
	case k == reflect.Bool:
		var b bool
		err := s.scanBool(i, kind, &b)
		v.SetBool(b)
		return err
	case v.CanInt():
		var n int64
		if err := s.scanInt(i, kind, &n); err != nil {
			return err
		}
		if v.OverflowInt(n) {
			return fmt.Errorf("%d overflows %s", n, v.Type())
		}
		v.SetInt(n)
		return nil
	case v.CanUint():
		var n int64
		if err := s.scanInt(i, kind, &n); err != nil {
			return err
		}
		if n < 0 || v.OverflowUint(uint64(n)) {
			return fmt.Errorf("%d overflows %s", n, v.Type())
		}
		v.SetUint(uint64(n))
		return nil
	case v.CanFloat():
		var f float64
		err := s.scanFloat(i, kind, &f)
		v.SetFloat(f)
		return err
	case k == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		var b []byte
		err := s.scan(i, &b)
		v.SetBytes(b)
		return err
	case k == reflect.Pointer: // nil for NULL
		v.SetZero()
		if kind == sqlite3.SQLITE_NULL {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return s.scan(i, v.Interface())
	}
	return fmt.Errorf("unsupported destination type %s", v.Type())
}

var errNull = errors.New("NULL")

func (s *stmt) scanInt(i, kind int32, d *int64) (err error) {
	switch kind {
	case sqlite3.SQLITE_INTEGER:
		*d = sqlite3.Xsqlite3_column_int64(s.c.tls, s.handle, i)
		return nil
	case sqlite3.SQLITE_NULL:
		return errNull
	case sqlite3.SQLITE_FLOAT:
		f := sqlite3.Xsqlite3_column_double(s.c.tls, s.handle, i)
		if f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
			return fmt.Errorf("%v is not a 64-bit integer", f)
		}
		*d = int64(f)
		return nil
	}
	*d, err = strconv.ParseInt(string(s.octets(i, kind)), 10, 64)
	return err
}

func (s *stmt) scanFloat(i, kind int32, d *float64) (err error) {
	switch kind {
	case sqlite3.SQLITE_INTEGER, sqlite3.SQLITE_FLOAT:
		*d = sqlite3.Xsqlite3_column_double(s.c.tls, s.handle, i)
		return nil
	case sqlite3.SQLITE_NULL:
		return errNull
	}
	*d, err = strconv.ParseFloat(string(s.octets(i, kind)), 64)
	return err
}

func (s *stmt) scanBool(i, kind int32, d *bool) (err error) {
	if kind == sqlite3.SQLITE_NULL {
		return errNull
	}
	*d, err = strconv.ParseBool(string(s.octets(i, kind)))
	return err
}

func (s *stmt) scanString(i, kind int32, d *string) error {
	if kind == sqlite3.SQLITE_NULL {
		return errNull
	}
	*d = string(s.octets(i, kind))
	return nil
}

// octets returns the octets of a blob, or the text of another value that is not NULL. They
// are SQLite's until the next step.
func (s *stmt) octets(i, kind int32) []byte {
	var p uintptr
	if kind == sqlite3.SQLITE_BLOB {
		p = sqlite3.Xsqlite3_column_blob(s.c.tls, s.handle, i)
	} else {
		p = sqlite3.Xsqlite3_column_text(s.c.tls, s.handle, i)
	}
	n := int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.handle, i))
	if p == 0 || n == 0 {
		return []byte{}
	}
	return libc.GoBytes(p, n)
}

// value returns the value as an int64, a float64, a string, a copied []byte or nil.
func (s *stmt) value(i, kind int32) any {
	switch kind {
	case sqlite3.SQLITE_NULL:
		return nil
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_int64(s.c.tls, s.handle, i)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(s.c.tls, s.handle, i)
	case sqlite3.SQLITE_BLOB:
		return bytes.Clone(s.octets(i, kind))
	}
	return string(s.octets(i, kind))
}
