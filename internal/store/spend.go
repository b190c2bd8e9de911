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
func spendDay(now time.Time) int64 { return now.Unix() / (24 * 60 * 60) }

// spentOn is the expression for what a row's account spent on a day.
func spentOn(day string) string {
	return `CASE WHEN spend_day BETWEEN ` + day + ` AND ` + day + ` + 1 THEN spent ELSE 0 END`
}

// spend are the assignments that count an amount.
func spend(amount, day string) string {
	return `spent = ` + spentOn(day) + ` + ` + amount + `,
		spend_day = CASE WHEN spend_day = ` + day + ` + 1 THEN spend_day ELSE ` + day + ` END`
}

// withinCap is the condition that an amount may be spent.
func withinCap(amount, day string) string {
	return `(daily_cap = 0 OR ` + spentOn(day) + ` + ` + amount + ` <= daily_cap)`
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

// chargeParent is Charge for an account that uses the balance of another: both rows
// are locked, since both may have a daily cap, that of the payer first (see
// LockBalances).
func (tx *Tx) chargeParent(v verify.Verification, p Payer, now time.Time) (ok bool, err error) {
	price, day := int64(v.Price), spendDay(now)
	var there, charged bool
	_, err = tx.queryRow(`SELECT COUNT(*) = 2, EXISTS (SELECT 1 FROM ledger WHERE key = $5),
			COALESCE(MIN(CASE WHEN `+withinCap("$3", "$4")+` AND (key <> $2 OR balance >= $3 OR $6) THEN 1 ELSE 0 END), 0) = 1
		FROM (SELECT key, balance, daily_cap, spend_day, spent FROM accounts WHERE key = $1 OR key = $2
			ORDER BY CASE WHEN key = $2 THEN 0 ELSE 1 END`+tx.lock+`) locked`,
		[]any{v.Account, p.Account, price, day, chargeKey(v.ID), p.OnCredit}, &there, &charged, &ok)
	if err == nil && !there {
		err = ErrNoAccount
	}
	if err != nil {
		return false, fmt.Errorf("charge account %s for %s: %w", p.Account, v.Account, err)
	}
	if charged || !ok {
		return charged, nil
	}
	err = errors.Join(
		tx.send(`INSERT INTO ledger (key, account, kind, amount, created_at, sub_account) VALUES ($1, $2, $3, $4, $5, $6)`,
			chargeKey(v.ID), p.Account, "charge", -price, millis(now), v.Account),
		tx.send(`UPDATE accounts SET balance = CASE WHEN key = $2 THEN balance - $3 ELSE balance END, `+spend("$3", "$4")+`
			WHERE key = $1 OR key = $2`, v.Account, p.Account, price, day))
	return err == nil, err
}
