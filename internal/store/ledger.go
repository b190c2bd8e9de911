package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
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
	v.Payer = p.Account
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
	n, err := tx.post(chargeKey(v.ID), v, "charge", -v.Price, now)
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

func chargeKey(id verify.ID) string { return "charge/" + id.Hex() }

// subAccount is the account of a verification where another pays for it.
func subAccount(v verify.Verification) string {
	if v.PaidBy() == v.Account {
		return ""
	}
	return v.Account
}

func chargeArgs(v verify.Verification, p Payer, now time.Time) []any {
	return []any{chargeKey(v.ID), v.Account, "charge", int64(v.Price), millis(now), p.OnCredit, spendDay(now)}
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
	if _, err := tx.post("top-up/"+verify.NewID(rand.Reader).Hex(),
		verify.Verification{Request: verify.Request{Account: account}}, "top-up", amount, now); err != nil {
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

// Cover is Charge where the price is to be taken later, by ChargeOwed: it sees that the
// balance covers it, and counts it for the daily caps, at once and for good, or what is
// under way would pass them. What others ask at the same time does not count for the
// balance: each of them may be charged. It is to be called once.
func (tx *Tx) Cover(v verify.Verification, p Payer, now time.Time) (ok bool, err error) {
	if v.Price == 0 {
		return true, nil
	}
	_, ok, err = tx.cover(v, p, now, "")
	return ok, err
}

// CoverUnlessRunning is Cover for a verification that is to begin. If one is in progress
// for its account and number, it counts nothing, and returns that one to be changed.
func (tx *Tx) CoverUnlessRunning(v verify.Verification, p Payer, now time.Time) (running *Row, ok bool, err error) {
	id, ok, err := tx.cover(v, p, now, v.Number)
	if err != nil || id == nil {
		return nil, ok, err
	}
	running, found, err := tx.Find(verify.ID(id))
	if err != nil || found && !running.Ended() {
		return running, false, err
	}
	ok, err = tx.Cover(v, p, now) // it ended a moment ago
	return nil, ok, err
}

// cover locks the rows of those that pay only where none is in progress: who changes
// that one holds it when the accounts are charged.
func (tx *Tx) cover(v verify.Verification, p Payer, now time.Time, number string) (running []byte, ok bool, err error) {
	p.Account = cmp.Or(p.Account, v.Account)
	const inProgress = `SELECT id FROM verifications WHERE account = $1 AND number = $6 AND status = 'IN PROGRESS'`
	_, err = tx.queryRow(`SELECT COALESCE(MIN(CASE WHEN `+withinCap("$3", "$4")+` AND (key <> $2 OR balance >= $3 OR $5) THEN 1 ELSE 0 END), 0) = 1,
			(`+inProgress+`)
		FROM (SELECT key, balance, daily_cap, spend_day, spent FROM accounts WHERE (key = $1 OR key = $2) AND NOT EXISTS (`+inProgress+`)
			ORDER BY CASE WHEN key = $2 THEN 0 ELSE 1 END`+tx.lock+`) locked`,
		[]any{v.Account, p.Account, int64(v.Price), spendDay(now), p.OnCredit, number}, &ok, &running)
	if err != nil {
		return nil, false, fmt.Errorf("balance of account %s: %w", p.Account, err)
	}
	if v.Price == 0 || !ok {
		return running, ok || v.Price == 0, nil
	}
	err = tx.send(`UPDATE accounts SET `+spend("$3", "$4")+` WHERE key = $1 OR key = $2`,
		v.Account, p.Account, int64(v.Price), spendDay(now))
	return nil, true, err
}

// ChargeOwed takes the price of a verification, which Cover has counted, from whoever
// pays for it, whatever the balance says, exactly once however often it is called.
func (tx *Tx) ChargeOwed(v verify.Verification, now time.Time) error {
	if v.Price == 0 {
		return nil
	}
	n, err := tx.post(chargeKey(v.ID), v, "charge", -v.Price, now)
	if err != nil || n == 0 {
		return err
	}
	if err := tx.send(`UPDATE accounts SET balance = balance - $2 WHERE key = $1`, v.PaidBy(), int64(v.Price)); err != nil {
		return fmt.Errorf("charge account %s: %w", v.PaidBy(), err)
	}
	return nil
}

// Refund gives the price of a verification back to whoever paid it, exactly once
// however often it is called.
func (tx *Tx) Refund(v verify.Verification, now time.Time) error {
	n, err := tx.post("refund/"+v.ID.Hex(), v, "refund", v.Price, now)
	if err != nil || n == 0 {
		return err
	}
	// What was spent today is spent no more.
	err = tx.send(`UPDATE accounts SET balance = CASE WHEN key = $2 THEN balance + $3 ELSE balance END,
			spent = CASE WHEN spend_day = $4 AND spent >= $3 THEN spent - $3 ELSE spent END
		WHERE key = $1 OR key = $2`, v.Account, v.PaidBy(), int64(v.Price), spendDay(v.SubmittedAt))
	if err != nil {
		return fmt.Errorf("refund to account %s: %w", v.PaidBy(), err)
	}
	return nil
}

// LockBalances keeps others from the balance of payer, and from what stands in the rows
// of accounts that use it, until the transaction ends. Whoever changes them and rows of
// verifications locks them first, so that none waits for another that waits for it. For
// the same reason the payer comes first: nobody holds an account that uses its balance
// and waits for it.
func (tx *Tx) LockBalances(payer string, accounts ...string) error {
	if tx.lock == "" {
		return nil
	}
	for _, account := range append([]string{payer}, slices.Sorted(slices.Values(accounts))...) {
		if err := tx.send(`SELECT 1 FROM accounts WHERE key = $1`+tx.lock, account); err != nil {
			return err
		}
	}
	return nil
}

// AddCost notes what a carrier charges the operator for an event of a verification,
// exactly once for each key. It is no part of anybody's balance.
func (tx *Tx) AddCost(v verify.Verification, event verify.Event, key string, cost verify.Money, now time.Time) error {
	args := []any{"cost/" + event.ID.Hex() + "/" + key, v.PaidBy(), -int64(cost), millis(now), subAccount(v)}
	if tx.addCost != "" {
		if err := tx.send(tx.addCost, append(args, v.ID[:], event.Seq)...); err != nil {
			return fmt.Errorf("add cost of event %s: %w", event.ID, err)
		}
		return nil
	}
	n, err := tx.exec(postCost, args...)
	if err == nil && n == 1 {
		err = tx.send(`UPDATE events SET cost = cost + $1 WHERE verification = $2 AND seq = $3`, int64(cost), v.ID[:], event.Seq)
	}
	if err == nil && n == 1 {
		err = tx.send(`UPDATE verifications SET cost = cost + $1 WHERE id = $2`, int64(cost), v.ID[:])
	}
	if err != nil {
		return fmt.Errorf("add cost of event %s: %w", event.ID, err)
	}
	return nil
}

func (tx *Tx) post(key string, v verify.Verification, kind string, amount verify.Money, now time.Time) (int64, error) {
	n, err := tx.exec(`INSERT INTO ledger (key, account, kind, amount, created_at, sub_account)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, key, v.PaidBy(), kind, int64(amount), millis(now), subAccount(v))
	if err != nil {
		return 0, fmt.Errorf("post to ledger: %w", err)
	}
	return n, nil
}

// counted leaves out the entries that are no part of a balance.
const counted = `kind NOT IN ('carrier-cost', 'carried-cost')`

// LedgerSum is the sum of an account's entries that count, and how many of them are
// charges. It equals the balance, or something is wrong.
func (db *DB) LedgerSum(ctx context.Context, account string) (sum verify.Money, charges int, err error) {
	err = db.queryRow(ctx, `
		SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT), COUNT(CASE WHEN kind = 'charge' THEN 1 END)
		FROM (SELECT kind, amount FROM ledger WHERE account = $1
			UNION ALL SELECT kind, amount FROM ledger_past WHERE account = $1) entries WHERE `+counted, []any{account}, &sum, &charges)
	return sum, charges, err
}
