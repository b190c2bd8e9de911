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
// payer; then nothing was written. A payer on credit is charged though the balance does
// not cover it.
func (tx *Tx) Charge(v verify.Verification, p Payer, now time.Time) (ok bool, err error) {
	if v.Price == 0 {
		return true, nil
	}
	v.Payer = cmp.Or(p.Account, v.Account)
	parties, err := tx.parties(v.Account, v.Payer)
	if err != nil {
		return false, err
	}
	price, day := int64(v.Price), spendDay(now)
	if !parties.cover(price, day, p.OnCredit) {
		return tx.posted(chargeKey(v.ID))
	}
	first, err := tx.postOnce(chargeKey(v.ID), v, "charge", -v.Price, now)
	if err != nil || !first {
		return err == nil, err
	}
	parties.payer.add(-price)
	tx.spend(parties, price, day)
	return true, nil
}

func chargeKey(id verify.ID) string { return "charge/" + id.Hex() }

// subAccount is the account of a verification where another pays for it.
func subAccount(v verify.Verification) string {
	if v.PaidBy() == v.Account {
		return ""
	}
	return v.Account
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
	row, err := tx.balance(account)
	if err != nil {
		return err
	}
	if row == nil || row.amount+int64(amount) > int64(maxBalance) || row.amount+int64(amount) < -int64(maxBalance) {
		return ErrBalanceRange
	}
	if _, err := tx.post("top-up/"+verify.NewID(rand.Reader).Hex(),
		verify.Verification{Request: verify.Request{Account: account}}, "top-up", amount, now); err != nil {
		return err
	}
	row.add(int64(amount))
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
	parties, err := tx.parties(v.Account, cmp.Or(p.Account, v.Account))
	if err != nil {
		return false, err
	}
	price, day := int64(v.Price), spendDay(now)
	if !parties.cover(price, day, p.OnCredit) {
		return false, nil
	}
	tx.spend(parties, price, day)
	return true, nil
}

// ChargeOwed takes the price of a verification, which Cover has counted, from whoever
// pays for it, whatever the balance says, exactly once however often it is called.
func (tx *Tx) ChargeOwed(v verify.Verification, now time.Time) error {
	if v.Price == 0 {
		return nil
	}
	parties, err := tx.parties(v.PaidBy(), v.PaidBy())
	if err != nil {
		return err
	}
	n, err := tx.post(chargeKey(v.ID), v, "charge", -v.Price, now)
	if err == nil && n == 1 {
		parties.payer.add(-int64(v.Price))
	}
	return err
}

// Refund gives the price of a verification back to whoever paid it, exactly once
// however often it is called.
func (tx *Tx) Refund(v verify.Verification, now time.Time) error {
	parties, err := tx.parties(v.Account, v.PaidBy())
	if err != nil {
		return err
	}
	n, err := tx.post("refund/"+v.ID.Hex(), v, "refund", v.Price, now)
	if err == nil && n == 1 {
		parties.refund(v.Price, spendDay(v.SubmittedAt))
	}
	return err
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

// postOnce is post for what is seldom asked for twice, and says whether this was the
// first time. Where another look at the ledger costs a round trip, that is found out
// only when the entry is written: then the work is done again, and carefully.
func (tx *Tx) postOnce(key string, v verify.Verification, kind string, amount verify.Money, now time.Time) (first bool, err error) {
	if tx.posts == nil || tx.careful {
		n, err := tx.post(key, v, kind, amount, now)
		return n == 1, err
	}
	if tx.posts[key] {
		return false, nil
	}
	tx.posts[key] = true
	err = tx.change(addEntry, v.ID, key, v.PaidBy(), kind, int64(amount), millis(now), subAccount(v))
	if err != nil {
		return false, fmt.Errorf("post to ledger: %w", err)
	}
	return true, nil
}

// posted reports whether an entry is there.
func (tx *Tx) posted(key string) (bool, error) {
	if tx.posts[key] {
		return true, nil
	}
	var one int
	ok, err := tx.queryRow(`SELECT 1 FROM ledger WHERE key = $1`, []any{key}, &one)
	if err != nil {
		return false, fmt.Errorf("look at the ledger: %w", err)
	}
	return ok, nil
}

const addEntry change = `INSERT INTO ledger (key, account, kind, amount, created_at, sub_account)`

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
