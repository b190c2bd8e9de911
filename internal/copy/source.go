package copy

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"countersign/internal/store/driver"
)

// copySource reads an SQLite database in one transaction. It also excludes writers, whose
// changes would be lost.
type copySource struct{ conn *sql.Conn }

func newCopySource(ctx context.Context, file *sql.DB) (*copySource, error) {
	conn, err := file.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &copySource{conn}, nil
}

func (s *copySource) close(ctx context.Context) error {
	_, err := s.conn.ExecContext(ctx, `ROLLBACK`)
	return errors.Join(err, s.conn.Close())
}

type sourceTable struct{ columns, key []string }

// tables lists the tables by name.
func (s *copySource) tables(ctx context.Context) (map[string]sourceTable, error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT m.name, p.name, p.pk > 0 FROM sqlite_schema m, pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND m.name <> $1
		ORDER BY m.name, p.pk`, gooseTable)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tables := map[string]sourceTable{}
	for rows.Next() {
		var table, column string
		var inKey bool
		if err := rows.Scan(&table, &column, &inKey); err != nil {
			return nil, err
		}
		t := tables[table]
		t.columns = append(t.columns, column)
		if inKey {
			t.key = append(t.key, column)
		}
		tables[table] = t
	}
	return tables, rows.Err()
}

// setting reads a setting.
func (s *copySource) setting(ctx context.Context, name string) (value []byte, err error) {
	err = s.conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	if err != nil {
		return nil, fmt.Errorf("read setting %s: %w", name, err)
	}
	return value, nil
}

func (s *copySource) count(ctx context.Context, t copyTable) (n int, err error) {
	err = s.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+t.ident()+t.where()).Scan(&n)
	return n, err
}

// batches reads the rows of a table in the order of its key, without the first skip rows,
// and passes them to do, up to size at a time. Values have the types of the target.
func (s *copySource) batches(ctx context.Context, t copyTable, skip, size int, do func(rows [][]any) error) error {
	rows, err := s.conn.QueryContext(ctx, t.read(), skip)
	if err != nil {
		return err
	}
	defer rows.Close()
	batch := make([][]any, 0, size)
	for rows.Next() {
		row, err := t.scan(rows)
		if err != nil {
			return err
		}
		if batch = append(batch, row); len(batch) < size {
			continue
		}
		if err := do(batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if err := rows.Err(); err != nil || len(batch) == 0 {
		return err
	}
	return do(batch)
}

// sum returns a checksum of all rows of all tables.
func (s *copySource) sum(ctx context.Context, tables []copyTable, size int) ([]byte, error) {
	sum := sha256.New()
	for _, t := range tables {
		if err := s.batches(ctx, t, 0, size, func(rows [][]any) error { addRows(sum, rows); return nil }); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return sum.Sum(nil), nil
}

// scan reads a row and converts each value to the type of its column in the target.
func (t copyTable) scan(rows *sql.Rows) ([]any, error) {
	row := make([]any, len(t.columns))
	dest := make([]any, len(row))
	for i := range row {
		dest[i] = &row[i]
	}
	if err := rows.Scan(dest...); err != nil {
		return nil, err
	}
	for i, c := range t.columns {
		v, ok := c.convert(row[i])
		if !ok {
			return nil, fmt.Errorf("column %s is of type %s, and has a value of type %T", c.name, c.kind, row[i])
		}
		row[i] = v
	}
	return row, nil
}

// convert converts a value of SQLite to the type of the target's column. A column of SQLite
// may have values of any type.
func (c copyColumn) convert(v any) (converted any, ok bool) {
	if v == nil {
		return nil, true
	}
	switch c.kind {
	case "text":
		switch v := v.(type) {
		case string:
			return driver.Text(v), true
		case []byte:
			return driver.Text(string(v)), true
		}
	case "bytea":
		switch v := v.(type) {
		case string:
			return []byte(v), true
		case []byte:
			return append([]byte{}, v...), true // nil would be NULL
		}
	case "boolean":
		switch v := v.(type) {
		case bool:
			return v, true
		case int64:
			return v != 0, v == 0 || v == 1
		}
	case "integer", "bigint":
		v, ok := v.(int64)
		return v, ok
	}
	return nil, false
}

// holds reports whether the source has a row with a key of the target. It is true for a key
// that may be escaped (driver.Text), since such a row cannot be found.
func (s *copySource) holds(ctx context.Context, t copyTable, key []any) (bool, error) {
	var conditions []string
	for n, i := range t.key() {
		conditions = append(conditions, fmt.Sprintf("%s = $%d", quoted(t.columns[i].name), n+1))
		if text, ok := key[n].(string); ok && strings.Contains(text, `\x`) {
			return true, nil
		}
	}
	var found bool
	err := s.conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+t.ident()+` WHERE `+strings.Join(conditions, " AND ")+`)`, key...).Scan(&found)
	return found, err
}
