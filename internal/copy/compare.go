package copy

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"strings"

	"github.com/jackc/pgx/v5"
)

// comparison holds a target against a source.
type comparison struct {
	source *copySource
	target *pgx.Conn
	size   int       // how many rows at a time
	sum    hash.Hash // of the source's rows
}

// table sees that each row of the source is in the target, with the same values, and
// that no other is. It gives their number.
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
		// Two keys that PostgreSQL cannot tell apart, since both had to be spelled out.
		err = fmt.Errorf("%w: %d rows in the source, %d in the target", ErrDiffers, ours, theirs)
	}
	return compared, err
}

// rows finds rows of the source in the target.
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

// foreignRow names a row of the target that is not in the source.
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
	return fmt.Errorf("%w: there are more rows in the target", ErrDiffers)
}

// describe tells a key, but no phone number.
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

// joined makes one text of a key, and of no other.
func joined(key []any) string { return string(appendRow(nil, key)) }

// addRows adds rows to a sum that no others have.
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

// pick gives some values of a row.
func pick(row []any, places []int) []any {
	picked := make([]any, len(places))
	for i, p := range places {
		picked[i] = row[p]
	}
	return picked
}

// arrays turns rows into an array for each column, which is how a statement takes
// any number of them.
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
