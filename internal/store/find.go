package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// VerificationFilter says which verifications are wanted.
type VerificationFilter struct {
	Number, Account string    // "" for any; a number in any of its forms
	Since, Until    time.Time // when they were submitted; Until itself is not wanted
	Limit           int
}

// longestLife is more than passes from the beginning of a verification to its end.
const longestLife = 24 * time.Hour

// FindVerifications lists verifications of any account with their history, the newest
// first, wherever they lie. No index leads to a number, since requests would have to
// keep it: of the archive it reads what ended in that time.
func (db *DB) FindVerifications(ctx context.Context, f VerificationFilter) ([]Record, error) {
	conditions := `submitted_at >= $1 AND submitted_at < $2`
	args := []any{millis(f.Since), millis(f.Until), millis(f.Until.Add(longestLife)), f.Limit}
	if f.Number != "" {
		canonical, other := verify.NumberForms(f.Number)
		args = append(args, canonical, other)
		conditions += fmt.Sprintf(" AND number IN ($%d, $%d)", len(args)-1, len(args))
	}
	if f.Account != "" {
		args = append(args, f.Account)
		conditions += fmt.Sprintf(" AND account = $%d", len(args))
	}
	found, err := db.placesOf(ctx, `SELECT id, account, submitted_at FROM verifications WHERE `+conditions+`
		UNION SELECT id, account, submitted_at FROM archive WHERE finalized_at >= $1 AND finalized_at < $3 AND `+conditions+`
		ORDER BY submitted_at DESC, id LIMIT $4`, args)
	if err != nil {
		return nil, fmt.Errorf("find verifications: %w", err)
	}
	var records []Record
	for _, p := range found {
		rec, ok, err := db.Record(ctx, p.account, p.id)
		if err != nil {
			return nil, err
		}
		if ok { // or it has gone meanwhile
			records = append(records, rec)
		}
	}
	return records, nil
}

// FindVerification finds a verification of any account with its history, wherever it
// lies; ok is false when there is none.
func (db *DB) FindVerification(ctx context.Context, id verify.ID) (rec Record, ok bool, err error) {
	var account string
	err = db.queryRow(ctx, `SELECT account FROM verifications WHERE id = $1 UNION SELECT account FROM archive WHERE id = $1`,
		[]any{id[:]}, &account)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, false, nil
	}
	if err != nil {
		return rec, false, fmt.Errorf("find verification: %w", err)
	}
	if rec, ok, err = db.record(ctx, account, id); err != nil || !ok || rec.PartList != nil {
		return rec, ok, err
	}
	//nolint:rowserrcheck // scanParts does
	rows, err := db.query(ctx, findParts+` = $1 ORDER BY event_seq, attempt, seq`, id[:])
	parts, err := scanParts(rows, err)
	rec.PartList = parts[id]
	return rec, true, err
}

// place is where a verification is found.
type place struct {
	id      verify.ID
	account string
}

func (db *DB) placesOf(ctx context.Context, query string, args []any) (found []place, err error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p place
		var id []byte
		var submitted int64
		if err := rows.Scan(&id, &p.account, &submitted); err != nil {
			return nil, err
		}
		copy(p.id[:], id)
		found = append(found, p)
	}
	return found, rows.Err()
}
