package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// Payer says whose balance a verification is charged to.
type Payer struct {
	Account  string // its key; "" for the account that asked
	OnCredit bool   // is charged even where the balance does not cover it
}

// Charge takes the price of a verification from the balance of its payer, exactly once
// however often it is called. ok is false when the balance does not cover it, or when
// more would be spent in a day than a daily cap allows, of the account or of its
// payer; then the caller must give up the transaction. A payer on credit is charged
// though the balance does not cover it.
func (tx *Tx) Charge(v verify.Verification, p Payer, now time.Time) (ok bool, err error) {
	if v.Price == 0 {
		return true, nil
	}
	p.Account = cmp.Or(p.Account, v.Account)
	if p.Account != v.Account {
		return tx.chargeParent(v, p, now)
	}
	if tx.charge != "" {
		if _, err := tx.queryRow(tx.charge, chargeArgs(v, p, now), &ok); err != nil {
			return false, fmt.Errorf("charge account %s: %w", v.Account, err)
		}
		tx.changed = tx.changed || ok
		return ok, nil
	}
	n, err := tx.post("charge/"+v.ID.Hex(), v.Account, "charge", -v.Price, now)
	if err != nil || n == 0 {
		return err == nil, err
	}
	// One conditional update: a balance that was read before could be spent twice.
	n, err = tx.exec(`UPDATE accounts SET balance = balance - $1, `+spend("$1", "$4")+`
		WHERE key = $2 AND (balance >= $1 OR $3) AND `+withinCap("$1", "$4"), int64(v.Price), v.Account, p.OnCredit, spendDay(now))
	if err != nil {
		return false, fmt.Errorf("charge account %s: %w", v.Account, err)
	}
	return n == 1, nil
}

func chargeArgs(v verify.Verification, p Payer, now time.Time) []any {
	return []any{"charge/" + v.ID.Hex(), v.Account, "charge", int64(v.Price), millis(now), p.OnCredit, spendDay(now)}
}

// ChargeUnlessRunning is Charge for a verification that is to begin. If one is in
// progress for its account and number, it takes nothing, and returns that one to be
// changed.
func (tx *Tx) ChargeUnlessRunning(v verify.Verification, p Payer, now time.Time) (running *Row, ok bool, err error) {
	if tx.chargeUnlessRunning == "" || v.Price == 0 || p.Account != "" && p.Account != v.Account {
		running, found, err := tx.Running(v.Account, v.Number)
		if found || err != nil {
			return running, false, err
		}
		ok, err = tx.Charge(v, p, now)
		return nil, ok, err
	}
	var id []byte
	_, err = tx.queryRow(tx.chargeUnlessRunning, append(chargeArgs(v, p, now), v.Number), &ok, &id)
	if err != nil {
		return nil, false, fmt.Errorf("charge account %s: %w", v.Account, err)
	}
	if id == nil {
		tx.changed = tx.changed || ok
		return nil, ok, nil
	}
	running, found, err := tx.Find(verify.ID(id))
	if err == nil && !found {
		err = fmt.Errorf("verification %x is gone", id)
	}
	return running, false, err
}

// maxBalance keeps sums of balances and prices within 64 bits: SQLite would go on
// in floating point.
const maxBalance verify.Money = 1 << 61

// ErrBalanceRange is returned for a top-up that leads out of the range of money.
var ErrBalanceRange = errors.New("the balance would be out of range")

// TopUp adds amount to the account's balance; a negative amount takes it away.
func (tx *Tx) TopUp(account string, amount verify.Money, now time.Time) error {
	if amount > maxBalance || amount < -maxBalance {
		return ErrBalanceRange
	}
	if _, err := tx.post("top-up/"+verify.NewID(rand.Reader).Hex(), account, "top-up", amount, now); err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE accounts SET balance = balance + $1 WHERE key = $2 AND balance BETWEEN $3 AND $4`,
		int64(amount), account, int64(-maxBalance-min(amount, 0)), int64(maxBalance-max(amount, 0)))
	if err != nil {
		return fmt.Errorf("top up account %s: %w", account, err)
	}
	if n == 0 {
		return ErrBalanceRange
	}
	return nil
}

func (tx *Tx) post(key, account, kind string, amount verify.Money, now time.Time) (int64, error) {
	n, err := tx.exec(`INSERT INTO ledger (key, account, kind, amount, created_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, key, account, kind, int64(amount), millis(now))
	if err != nil {
		return 0, fmt.Errorf("post to ledger: %w", err)
	}
	return n, nil
}

// LedgerSum is the sum of an account's entries and how many of them are charges.
// It equals the balance, or something is wrong.
func (db *DB) LedgerSum(ctx context.Context, account string) (sum verify.Money, charges int, err error) {
	err = db.queryRow(ctx, `
		SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT), COUNT(CASE WHEN kind = 'charge' THEN 1 END)
		FROM (SELECT kind, amount FROM ledger WHERE account = $1
			UNION ALL SELECT kind, amount FROM ledger_past WHERE account = $1) entries`, []any{account}, &sum, &charges)
	return sum, charges, err
}
