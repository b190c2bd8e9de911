package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

const refusalColumns = `id, account, number, rule, detail, figure, bound, until, source, times, first_at, last_at`

// SaveRefusals adds the rows of fresh and updates the rows of known by ID, in one
// transaction. It is idempotent. A deleted row of known stays deleted.
func (db *DB) SaveRefusals(ctx context.Context, fresh, known []verify.Refusal) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		for _, r := range fresh {
			if err := tx.send(`INSERT INTO refusals (`+refusalColumns+`) VALUES (`+placeholders(12)+`)
				ON CONFLICT (id) DO UPDATE SET times = excluded.times, last_at = excluded.last_at`,
				r.ID[:], r.Account, sql.NullString{String: r.Number, Valid: r.Number != ""}, string(r.Rule), r.Detail, r.Count, r.Limit,
				millisOrNull(r.Until), r.Source, r.Times, millis(r.First), millis(r.Last)); err != nil {
				return err
			}
		}
		for _, r := range known {
			if err := tx.send(`UPDATE refusals SET detail = $2, figure = $3, bound = $4, until = $5, source = $6, times = $7, last_at = $8
				WHERE id = $1`, r.ID[:], r.Detail, r.Count, r.Limit, millisOrNull(r.Until), r.Source, r.Times, millis(r.Last)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save refusals: %w", err)
	}
	return nil
}

// RefusalFilter selects refusals. A zero field does not restrict them.
type RefusalFilter struct {
	Number  string // in any of its forms
	Account string
	Unnamed bool // only refusals without a number
	Since   time.Time
	Limit   int
}

// Refusals lists refusals, the latest first. Rows of the same account, number and rule
// are separate.
func (db *DB) Refusals(ctx context.Context, f RefusalFilter) (list []verify.Refusal, err error) {
	query := `SELECT ` + refusalColumns + ` FROM refusals WHERE last_at >= $1`
	args := []any{millis(f.Since)}
	if f.Number != "" {
		canonical, other := verify.NumberForms(f.Number)
		query += fmt.Sprintf(` AND number IN ($%d, $%d)`, len(args)+1, len(args)+2)
		args = append(args, canonical, other)
	}
	if f.Account != "" {
		args = append(args, f.Account)
		query += fmt.Sprintf(` AND account = $%d`, len(args))
	}
	if f.Unnamed {
		query += ` AND number IS NULL`
	}
	args = append(args, f.Limit)
	rows, err := db.query(ctx, query+fmt.Sprintf(` ORDER BY last_at DESC, id LIMIT $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("list refusals: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRefusal(rows)
		if err != nil {
			return nil, fmt.Errorf("list refusals: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func scanRefusal(from driver.Scanner) (r verify.Refusal, err error) {
	var (
		id          []byte
		number      sql.NullString
		until       sql.NullInt64
		first, last int64
	)
	err = from.Scan(&id, &r.Account, &number, &r.Rule, &r.Detail, &r.Count, &r.Limit, &until, &r.Source, &r.Times, &first, &last)
	copy(r.ID[:], id)
	r.Number, r.Until, r.First, r.Last = number.String, fromMillisOrNull(until), fromMillis(first), fromMillis(last)
	return r, err
}

// RedactRefusals erases number and source address in up to limit refusals last repeated at
// or before a time, oldest first. It returns the number of changed rows.
func (db *DB) RedactRefusals(ctx context.Context, until time.Time, limit int) (redacted int, err error) {
	redacted, err = db.changeRefusals(ctx, `UPDATE refusals SET number = NULL, source = ''`,
		`(number IS NOT NULL OR source <> '') AND`, until, limit)
	if err != nil {
		return 0, fmt.Errorf("redact refusals: %w", err)
	}
	return redacted, nil
}

// ForgetRefusals deletes up to limit refusals last repeated at or before a time, oldest
// first, and returns their number.
func (db *DB) ForgetRefusals(ctx context.Context, until time.Time, limit int) (forgotten int, err error) {
	if forgotten, err = db.changeRefusals(ctx, `DELETE FROM refusals`, ``, until, limit); err != nil {
		return 0, fmt.Errorf("forget refusals: %w", err)
	}
	return forgotten, nil
}

// changeRefusals applies change to up to limit rows that satisfy condition and have a
// last_at at or before a time.
func (db *DB) changeRefusals(ctx context.Context, change, condition string, until time.Time, limit int) (changed int, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(change+` WHERE id IN (SELECT id FROM refusals WHERE `+condition+` last_at <= $1
			ORDER BY last_at LIMIT $2`+tx.dialect.Take+`)`, millis(until), limit)
		changed = int(n)
		return err
	})
	return changed, err
}

// forgetRefusals deletes the refusals of a number.
func (db *DB) forgetRefusals(ctx context.Context, f Forget, _ time.Time, done *Forgotten) error {
	return db.deleteRows(ctx, "refusals", "id", f.Number, &done.Refusals)
}
