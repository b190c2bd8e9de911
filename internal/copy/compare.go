package copy

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"strings"

	"github.com/jackc/pgx/v5"
)

// comparison compares a target with a source.
type comparison struct {
	source *copySource
	target *pgx.Conn
	size   int       // rows compared at a time
	sum    hash.Hash // checksum of the source's rows
}

// table returns ErrDiffers unless the target has the rows of the source, with the same
// values, and no others. It returns their number.
func (c comparison) table(ctx context.Context, t copyTable) (compared int, err error) {
	theirs, err := t.count(ctx, c.target)
	if err != nil {
		return 0, err
	}
	ours, err := c.source.count(ctx, t)
	if err != nil {
		return 0, err
	}
	if theirs > ours {
		return 0, c.foreignRow(ctx, t)
	}
	err = c.source.batches(ctx, t, 0, c.size, func(rows [][]any) error {
		compared += len(rows)
		addRows(c.sum, rows)
		return c.rows(ctx, t, rows)
	})
	if err == nil && theirs != ours {
		// Escaping (driver.Text) has made two keys of the source equal.
		err = fmt.Errorf("%w: %d rows in the source, %d in the target", ErrDiffers, ours, theirs)
	}
	return compared, err
}

// rows returns ErrDiffers unless each of the rows is in the target with the same values.
func (c comparison) rows(ctx context.Context, t copyTable, rows [][]any) error {
	place := t.key()
	keys := make([][]any, len(rows))
	for i, row := range rows {
		keys[i] = pick(row, place)
	}
	found, err := c.target.Query(ctx, t.find(), arrays(keys)...)
	if err != nil {
		return err
	}
	theirs := make(map[string][]any, len(rows))
	for found.Next() {
		row, err := found.Values()
		if err != nil {
			found.Close()
			return err
		}
		for i, v := range row {
			if n, ok := v.(int32); ok {
				row[i] = int64(n)
			}
		}
		theirs[joined(pick(row, place))] = row
	}
	if err := found.Err(); err != nil {
		return err
	}
	for i, row := range rows {
		other, ok := theirs[joined(keys[i])]
		if !ok {
			return fmt.Errorf("%w: row %s is not in the target", ErrDiffers, t.describe(keys[i]))
		}
		for n, col := range t.columns {
			if !equal(row[n], other[n]) {
				return fmt.Errorf("%w: row %s, column %s", ErrDiffers, t.describe(keys[i]), col.name)
			}
		}
	}
	return nil
}

func equal(a, b any) bool {
	if x, ok := a.([]byte); ok {
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	}
	return a == b
}

// foreignRow returns ErrDiffers with a row of the target that is not in the source.
func (c comparison) foreignRow(ctx context.Context, t copyTable) error {
	var names []string
	for _, i := range t.key() {
		names = append(names, quoted(t.columns[i].name))
	}
	key := strings.Join(names, ", ")
	rows, err := c.target.Query(ctx, `SELECT `+key+` FROM `+t.ident()+t.where()+` ORDER BY `+key)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		key, err := rows.Values()
		if err != nil {
			return err
		}
		there, err := c.source.holds(ctx, t, key)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("%w: row %s is in the target only", ErrDiffers, t.describe(key))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: the target has more rows than the source", ErrDiffers)
}

// describe returns a key as text, without phone numbers.
func (t copyTable) describe(key []any) string {
	var parts []string
	for n, i := range t.key() {
		name, text := t.columns[i].name, fmt.Sprint(key[n])
		if raw, ok := key[n].([]byte); ok {
			text = fmt.Sprintf("%x", raw)
		}
		if name == "number" {
			text = "…" + text[max(0, len(text)-2):]
		}
		parts = append(parts, name+" "+text)
	}
	return strings.Join(parts, ", ")
}

// joined returns a text that is unique for a key.
func joined(key []any) string { return string(appendRow(nil, key)) }

// addRows adds rows to a checksum.
func addRows(sum hash.Hash, rows [][]any) {
	var b []byte
	for _, row := range rows {
		b = appendRow(b[:0], row)
		sum.Write(b) // never fails
	}
}

func appendRow(b []byte, row []any) []byte {
	for _, v := range row {
		switch v := v.(type) {
		case string:
			b = append(fmt.Appendf(b, "%d:", len(v)), v...)
		case []byte:
			b = append(fmt.Appendf(b, "%d:", len(v)), v...)
		default:
			b = fmt.Appendf(b, "%v;", v)
		}
	}
	return b
}

// pick returns some values of a row.
func pick(row []any, places []int) []any {
	picked := make([]any, len(places))
	for i, p := range places {
		picked[i] = row[p]
	}
	return picked
}

// arrays returns an array for each column: the form in which one statement takes any number
// of rows.
func arrays(rows [][]any) []any {
	columns := make([]any, len(rows[0]))
	for i := range columns {
		column := make([]any, len(rows))
		for n, row := range rows {
			column[n] = row[i]
		}
		columns[i] = column
	}
	return columns
}
