package store

import (
	"context"
	"fmt"
	"time"
)

// Warned returns the keys of the accounts that are marked as low on balance.
func (db *DB) Warned(ctx context.Context) (map[string]bool, error) {
	rows, err := db.query(ctx, `SELECT key FROM accounts WHERE low_since IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("list warned accounts: %w", err)
	}
	defer rows.Close()
	warned := map[string]bool{}
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("list warned accounts: %w", err)
		}
		warned[key] = true
	}
	return warned, rows.Err()
}

// SetWarned marks an account as low on balance, or removes the mark. first is false if that
// is already stored, for example by another node.
func (db *DB) SetWarned(ctx context.Context, key string, low bool, now time.Time) (first bool, err error) {
	err = db.Write(ctx, Scope{Account: key, Charges: true}, func(tx *Tx) error {
		var n int64
		var err error
		if low {
			n, err = tx.exec(`UPDATE accounts SET low_since = $1 WHERE key = $2 AND low_since IS NULL`, millis(now), key)
		} else {
			n, err = tx.exec(`UPDATE accounts SET low_since = NULL WHERE key = $1 AND low_since IS NOT NULL`, key)
		}
		first = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("mark account %s as low on balance: %w", key, err)
	}
	return first, nil
}
