package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// VerificationFilter selects verifications.
type VerificationFilter struct {
	Number, Account string    // "" for any; any form of a number
	Since, Until    time.Time // bounds of the time of submission; Until is exclusive
	Limit           int
}

// longestLife is longer than any verification.
const longestLife = 24 * time.Hour

// FindVerifications lists verifications of any account with their history, archived ones
// included, newest first. Numbers have no index, since each request would have to maintain
// it. So it reads all archived verifications that ended within the bounds, or up to
// longestLife after them.
func (db *DB) FindVerifications(ctx context.Context, f VerificationFilter) ([]verify.Verification, error) {
	conditions := `submitted_at >= $1 AND submitted_at < $2`
	args := []any{millis(f.Since), millis(f.Until), millis(f.Until.Add(longestLife)), f.Limit}
	if f.Number != "" {
		args = append(args, verify.CanonicalNumber(f.Number))
		conditions += fmt.Sprintf(" AND address = $%d", len(args))
	}
	if f.Account != "" {
		args = append(args, f.Account)
		conditions += fmt.Sprintf(" AND account = $%d", len(args))
	}
	found, err := db.idsOf(ctx, `SELECT id FROM (SELECT id, submitted_at FROM verifications WHERE `+conditions+`
		UNION SELECT id, submitted_at FROM archive WHERE finalized_at >= $1 AND finalized_at < $3 AND `+conditions+`) found
		ORDER BY submitted_at DESC, id LIMIT $4`, args...)
	if err != nil {
		return nil, fmt.Errorf("find verifications: %w", err)
	}
	var list []verify.Verification
	for _, id := range found {
		v, ok, err := db.Verification(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok { // false if deleted since
			list = append(list, v)
		}
	}
	return list, nil
}

// Verification finds a verification with its history, in the table of requests or in the
// archive; ok is false for an unknown id. If the row cannot be decoded, v has its account
// with the error.
func (db *DB) Verification(ctx context.Context, id verify.ID) (v verify.Verification, ok bool, err error) {
	if v, ok, err = db.live(ctx, id); err != nil || ok {
		return v, ok, err
	}
	rows, err := db.query(ctx, findArchived, id[:])
	if err != nil {
		return v, false, fmt.Errorf("search the archive: %w", err)
	}
	defer rows.Close()
	return archived(rows, id)
}

// live finds a verification in the table of requests.
func (db *DB) live(ctx context.Context, id verify.ID) (v verify.Verification, ok bool, err error) {
	rows, err := db.query(ctx, findVerification, id[:])
	if err != nil {
		return v, false, fmt.Errorf("find verification: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return v, false, rows.Err()
	}
	return complete(rows, db.seal)
}

// NextDue returns when the next verification is due; ok is false if there is no such time.
func (db *DB) NextDue(ctx context.Context) (at time.Time, ok bool, err error) {
	var ms sql.NullInt64
	// Without the condition SQLite could not use the partial index.
	err = db.queryRow(ctx, `SELECT MIN(due_at) FROM verifications WHERE due_at IS NOT NULL`, nil, &ms)
	return fromMillisOrNull(ms), ms.Valid, err
}
