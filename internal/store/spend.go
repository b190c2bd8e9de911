package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// What an account spent today stands in its row: the prices of what it began, be they
// charged at once, later or never. A start that is charged changes the row anyway, so
// that a daily cap costs nothing and holds exactly: it is decided under the row's
// lock. Days are those of UTC. Clocks of nodes differ a little, so a charge that comes
// from behind midnight counts for the day that has begun; a day that is further ahead
// was a mistake, and is forgotten.

// spendDay is the day of a charge, counted since 1970.
func spendDay(now time.Time) int64 { return now.Unix() / secondsOfDay }

const secondsOfDay = 24 * 60 * 60

// spentOn is the expression for what a row's account spent on a day.
func spentOn(day string) string {
	return `CASE WHEN spend_day BETWEEN ` + day + ` AND ` + day + ` + 1 THEN spent ELSE 0 END`
}

// Spent is what an account, and those that use its balance, spent on the day (UTC) of
// now.
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
