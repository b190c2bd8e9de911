package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// post posts an entry of a verification, exactly once for each key, and changes the
// balance of its payer and the amounts of the daily caps.
func (tx *Tx) post(v *verify.Verification, e verify.Entry) error {
	if e.Kind == verify.CostEntry {
		_, err := tx.postOnce(v, e)
		return err
	}
	asker := v.Account
	if e.Spent == 0 { // no daily cap is concerned
		asker = v.PaidBy()
	}
	parties, err := tx.parties(asker, v.PaidBy())
	if err != nil {
		return err
	}
	if e.Key != "" {
		if first, err := tx.postOnce(v, e); err != nil || !first {
			return err
		}
	}
	tx.changed = true
	if e.Amount != 0 {
		parties.payer.add(int64(e.Amount))
	}
	parties.spend(int64(e.Spent), spendDay(e.SpentAt))
	return nil
}

// subAccount returns the account of a verification if another account pays for it, else "".
func subAccount(v *verify.Verification) string {
	if v.PaidBy() == v.Account {
		return ""
	}
	return v.Account
}

// maxBalance keeps sums of balances and prices within 64 bits, above which SQLite uses
// floating point.
const maxBalance verify.Money = 1 << 61

// ErrBalanceRange is returned for a top-up after which the balance would exceed maxBalance.
var ErrBalanceRange = errors.New("the balance would be out of range")

// TopUp adds amount, which may be negative, to the account's balance.
func (tx *Tx) TopUp(account string, amount verify.Money, now time.Time) error {
	if amount > maxBalance || amount < -maxBalance {
		return ErrBalanceRange
	}
	row, err := tx.balance(account)
	if err != nil {
		return err
	}
	if row == nil || row.amount+int64(amount) > int64(maxBalance) || row.amount+int64(amount) < -int64(maxBalance) {
		return ErrBalanceRange
	}
	if _, err := tx.insertEntry(&verify.Verification{Request: verify.Request{Account: account}}, verify.Entry{
		Key: "top-up/" + verify.NewID(rand.Reader).Hex(), Kind: "top-up", Amount: amount, At: now,
	}); err != nil {
		return err
	}
	row.add(int64(amount))
	return nil
}

func (tx *Tx) insertEntry(v *verify.Verification, e verify.Entry) (int64, error) {
	n, err := tx.exec(`INSERT INTO ledger (key, account, kind, amount, created_at, sub_account)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, e.Key, v.PaidBy(), string(e.Kind), int64(e.Amount), millis(e.At), subAccount(v))
	if err != nil {
		return 0, fmt.Errorf("post to ledger: %w", err)
	}
	return n, nil
}

// postOnce adds an entry and reports whether it is the first with its key. If a query costs
// a round trip, a duplicate fails only when the entry is written; then the store runs the
// job again with careful set.
func (tx *Tx) postOnce(v *verify.Verification, e verify.Entry) (first bool, err error) {
	if !tx.dialect.RoundTrips || tx.careful {
		n, err := tx.insertEntry(v, e)
		return n == 1, err
	}
	if tx.posts[e.Key] {
		return false, nil
	}
	tx.posts[e.Key] = true
	err = tx.change(addEntry, v.ID, e.Key, v.PaidBy(), string(e.Kind), int64(e.Amount), millis(e.At), subAccount(v))
	if err != nil {
		return false, fmt.Errorf("post to ledger: %w", err)
	}
	return true, nil
}

const addEntry driver.Change = `INSERT INTO ledger (key, account, kind, amount, created_at, sub_account)`

// counted excludes entries that are not part of a balance.
const counted = `kind NOT IN ('carrier-cost', 'carried-cost')`

// LedgerSum returns the sum of an account's counted entries, and the number of charges. The
// sum equals the balance unless the ledger is wrong.
func (db *DB) LedgerSum(ctx context.Context, account string) (sum verify.Money, charges int, err error) {
	err = db.queryRow(ctx, `
		SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT), COUNT(CASE WHEN kind = 'charge' THEN 1 END)
		FROM (SELECT kind, amount FROM ledger WHERE account = $1
			UNION ALL SELECT kind, amount FROM ledger_past WHERE account = $1) entries WHERE `+counted, []any{account}, &sum, &charges)
	return sum, charges, err
}
