package store

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// balance is the money in the row of an account, with the changes of all jobs of a batch.
type balance struct {
	amount   int64
	dailyCap int64
	day      int64 // day of spent, see spendDay
	spent    int64

	delta   int64 // change of amount since it was read
	changed bool
}

// balances are the money of accounts by key, locked until the commit of a batch. A batch
// reads and writes each row once, for any number of charges.
type balances map[string]*balance

const balanceColumns = `key, balance, daily_cap, spend_day, spent`

// fields returns the destinations of balanceColumns.
func (b *balance) fields(key *string) []any {
	return []any{key, &b.amount, &b.dailyCap, &b.day, &b.spent}
}

// lock returns the query that locks the rows of keys and loads them.
func (b balances) lock(keys []string) driver.Question {
	return driver.Question{
		Query: `SELECT ` + balanceColumns + ` FROM accounts WHERE key = ANY($1) ORDER BY key FOR NO KEY UPDATE`, Args: []any{keys},
		Row: func(from driver.Scanner) error {
			var key string
			var row balance
			err := from.Scan(row.fields(&key)...)
			b[key] = &row
			return err
		},
	}
}

// spentOn returns the amount spent on a day, see spend.go.
func (b *balance) spentOn(day int64) int64 {
	if b.day < day || b.day > day+1 {
		return 0
	}
	return b.spent
}

// within reports whether an amount may be spent.
func (b *balance) within(amount, day int64) bool {
	return b.dailyCap == 0 || b.spentOn(day)+amount <= b.dailyCap
}

// spend counts an amount for the day.
func (b *balance) spend(amount, day int64) {
	b.spent = b.spentOn(day) + amount
	if b.day != day+1 {
		b.day = day
	}
	b.changed = true
}

func (b *balance) add(amount int64) {
	b.amount += amount
	b.delta += amount
	b.changed = true
}

// balance loads the money of an account and locks the row until the transaction ends; nil
// for an unknown account.
func (tx *Tx) balance(key string) (*balance, error) {
	if row := tx.balances[key]; row != nil {
		return row, nil
	}
	var row balance
	ok, err := tx.queryRow(`SELECT `+balanceColumns+` FROM accounts WHERE key = $1`+tx.dialect.Lock, []any{key}, row.fields(&key)...)
	if err != nil {
		return nil, fmt.Errorf("balance of account %s: %w", key, err)
	}
	if !ok {
		return nil, nil //nolint:nilnil // nil means an unknown account
	}
	tx.balances[key] = &row
	return &row, nil
}

// writeBalances writes the changed balances, at the commit or before a statement that
// reads or writes the rows itself. It adds the change to the stored amount instead of
// replacing it.
func (tx *Tx) writeBalances() error {
	for _, key := range slices.Sorted(maps.Keys(tx.balances)) {
		row := tx.balances[key]
		if !row.changed {
			continue
		}
		err := tx.send(`UPDATE accounts SET balance = balance + $2, spend_day = $3, spent = $4 WHERE key = $1`,
			key, row.delta, row.day, row.spent)
		if err != nil {
			return fmt.Errorf("charge account %s: %w", key, err)
		}
	}
	clear(tx.balances)
	return nil
}

// parties are the balances that a verification is charged to: the payer's, and the
// account's own, which has a separate daily cap. They are the same if the account pays
// itself.
type parties struct{ payer, asker *balance }

// parties loads the payer first: the lock order of LockBalances.
func (tx *Tx) parties(account, payer string) (p parties, err error) {
	if p.payer, err = tx.balance(payer); err != nil {
		return p, err
	}
	p.asker = p.payer
	if account != payer {
		if p.asker, err = tx.balance(account); err != nil {
			return p, err
		}
	}
	if p.payer == nil || p.asker == nil {
		return p, fmt.Errorf("charge account %s for %s: %w", payer, account, ErrNoAccount)
	}
	return p, nil
}

// funds decides whether a price can be charged. It implements [verify.Funds].
type funds struct {
	parties
	onCredit bool // the balance need not cover it
}

// Shortage implements [verify.Funds].
func (f funds) Shortage(price verify.Money, now time.Time) *verify.Cause {
	if !f.onCredit && f.payer.amount < int64(price) {
		return &verify.Cause{Rule: verify.RuleBalance, Count: int64(price), Limit: f.payer.amount}
	}
	day := spendDay(now)
	for _, b := range []*balance{f.payer, f.asker} {
		if !b.within(int64(price), day) {
			return &verify.Cause{
				Rule: verify.RuleDailyCap, Count: b.spentOn(day) + int64(price), Limit: b.dailyCap,
				Until: time.Unix((day+1)*secondsOfDay, 0).UTC(),
			}
		}
	}
	return nil
}

// Funds loads and locks the balance of the payer of an account. A payer on credit is
// charged although its balance does not cover the price.
func (tx *Tx) Funds(account, payer string, onCredit bool) (verify.Funds, error) {
	p, err := tx.parties(account, payer)
	return funds{p, onCredit}, err
}

// spend changes the amounts that count for the daily caps. A negative amount, from a
// refund, changes them only on the day of the charge.
func (p parties) spend(amount, day int64) {
	for _, b := range []*balance{p.payer, p.asker} {
		switch {
		case amount > 0:
			b.spend(amount, day)
		case amount < 0:
			b.unspend(-amount, day)
		}
		if p.asker == p.payer {
			return
		}
	}
}

// LockBalances locks the balance of payer, and the rows of accounts that use it, until
// the transaction ends. A transaction that changes them and rows of verifications calls
// it first. To avoid deadlocks, all transactions lock in this order: the payer, the
// accounts by key, verifications.
func (tx *Tx) LockBalances(payer string, accounts ...string) error {
	if !tx.dialect.Shared {
		return nil
	}
	for _, account := range append([]string{payer}, slices.Sorted(slices.Values(accounts))...) {
		if _, err := tx.balance(account); err != nil {
			return err
		}
	}
	return nil
}

func (b *balance) unspend(amount, day int64) {
	if b.day == day && b.spent >= amount {
		b.spent -= amount
	}
	b.changed = true
}
