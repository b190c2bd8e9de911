package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// BlockedNumber is a number that no account can verify.
type BlockedNumber struct {
	Number    string // E.164 digits without "+"
	Reason    string
	CreatedAt time.Time
}

// blockedSet is the whole block list; nil if it is longer than maxBlockedSet.
type blockedSet map[string]struct{}

// maxBlockedSet bounds the block list that is kept in memory, at about 2 MB. Each change
// reloads it.
const maxBlockedSet = 20_000

func (db *DB) readBlocked(ctx context.Context) (blockedSet, error) {
	rows, err := db.query(ctx, `SELECT number FROM blocked_numbers LIMIT $1`, maxBlockedSet+1)
	if err != nil {
		return nil, fmt.Errorf("read blocked numbers: %w", err)
	}
	defer rows.Close()
	set, n := blockedSet{}, 0
	for ; rows.Next(); n++ {
		var number string
		if err := rows.Scan(&number); err != nil {
			return nil, fmt.Errorf("read blocked numbers: %w", err)
		}
		set[verify.CanonicalNumber(number)] = struct{}{}
	}
	if n > maxBlockedSet { // rows, since the list may have both forms of a number
		set = nil
	}
	return set, rows.Err()
}

// Blocked reports whether number is on the block list, in any of its forms (see
// [verify.NumberForms]). Once a change has returned, Blocked reflects it on every node.
func (db *DB) Blocked(ctx context.Context, number string) (bool, error) {
	if err := db.checkVersions(ctx, true); err != nil {
		return false, err
	}
	if set, current, err := db.blocked.get(ctx); err == nil && current && set != nil {
		_, is := set[verify.CanonicalNumber(number)]
		return is, nil
	}
	canonical, other := verify.NumberForms(number)
	return db.exists(ctx, `SELECT 1 FROM blocked_numbers WHERE number IN ($1, $2)`, canonical, other)
}

// BlockedNumber returns the entry of a number in the block list, in any of its forms. ok is
// false if the number is not on the list.
func (db *DB) BlockedNumber(ctx context.Context, number string) (b BlockedNumber, ok bool, err error) {
	canonical, other := verify.NumberForms(number)
	var created int64
	err = db.queryRow(ctx, `SELECT number, reason, created_at FROM blocked_numbers WHERE number IN ($1, $2) ORDER BY created_at LIMIT 1`,
		[]any{canonical, other}, &b.Number, &b.Reason, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return b, false, nil
	}
	if err != nil {
		return b, false, fmt.Errorf("find blocked number: %w", err)
	}
	b.CreatedAt = fromMillis(created)
	return b, true, nil
}

// BlockNumber puts a number on the block list.
func (db *DB) BlockNumber(ctx context.Context, b BlockedNumber) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		if _, err := tx.exec(`INSERT INTO blocked_numbers (number, reason, created_at) VALUES ($1, $2, $3)
			ON CONFLICT (number) DO UPDATE SET reason = excluded.reason`, b.Number, b.Reason, millis(b.CreatedAt)); err != nil {
			return err
		}
		return tx.bumpVersions(ofBlocked)
	})
	db.waitForNodes(ctx, err, ofBlocked)
	return err
}

// errNothing rolls back a write that has no change to make.
var errNothing = errors.New("nothing to change")

// UnblockNumber removes all forms of a number from the block list. found is false if no
// form was on it.
func (db *DB) UnblockNumber(ctx context.Context, number string) (found bool, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		canonical, other := verify.NumberForms(number)
		n, err := tx.exec(`DELETE FROM blocked_numbers WHERE number IN ($1, $2)`, canonical, other)
		if err == nil && n == 0 {
			err = errNothing
		}
		if err != nil {
			return err
		}
		return tx.bumpVersions(ofBlocked)
	})
	db.waitForNodes(ctx, err, ofBlocked)
	if errors.Is(err, errNothing) {
		return false, nil
	}
	return err == nil, err
}

// BlockedNumbers lists the block list.
func (db *DB) BlockedNumbers(ctx context.Context) ([]BlockedNumber, error) {
	rows, err := db.query(ctx, `SELECT number, reason, created_at FROM blocked_numbers ORDER BY number`)
	if err != nil {
		return nil, fmt.Errorf("list blocked numbers: %w", err)
	}
	defer rows.Close()
	var list []BlockedNumber
	for rows.Next() {
		var b BlockedNumber
		var created int64
		if err := rows.Scan(&b.Number, &b.Reason, &created); err != nil {
			return nil, fmt.Errorf("list blocked numbers: %w", err)
		}
		b.CreatedAt = fromMillis(created)
		list = append(list, b)
	}
	return list, rows.Err()
}
