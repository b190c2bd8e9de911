package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// The row of an account contains its spending today: the prices of the verifications that
// it began, whether charged immediately, later or never. A charged start changes the row
// in any case, so a daily cap needs no further write. It is exact, since it is checked
// under the row's lock. Days are in UTC. Clocks of nodes differ slightly, so a charge
// from before midnight counts for the day that has already begun. A stored day further in
// the future was an error and is ignored.

// spendDay returns the day of a charge, in days since 1970.
func spendDay(now time.Time) int64 { return now.Unix() / secondsOfDay }

const secondsOfDay = 24 * 60 * 60

// spentOn returns the SQL expression for an account's spending on a day.
func spentOn(day string) string {
	return `CASE WHEN spend_day BETWEEN ` + day + ` AND ` + day + ` + 1 THEN spent ELSE 0 END`
}

// Spent returns the spending of an account and its sub-accounts on the day (UTC) of now.
func (db *DB) Spent(ctx context.Context, key string, now time.Time) (spent verify.Money, err error) {
	err = db.queryRow(ctx, `SELECT `+spentOn("$2")+` FROM accounts WHERE key = $1`, []any{key, spendDay(now)}, &spent)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoAccount
	}
	if err != nil {
		return 0, fmt.Errorf("spent by account %s: %w", key, err)
	}
	return spent, nil
}
