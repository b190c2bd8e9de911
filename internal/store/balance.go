package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/internal/verify"
)

// balance is the money in the row of an account, with all that the jobs of a batch have
// done to it.
type balance struct {
	amount   int64
	dailyCap int64
	day      int64 // that spent is of
	spent    int64

	delta   int64 // of amount, since it was read
	changed bool
}

// balances are the money of accounts, locked until the commit of a batch. A batch
// reads a row once and writes it once, however many of its jobs charge it.
type balances map[string]*balance

const balanceColumns = `key, balance, daily_cap, spend_day, spent`

// fields is where balanceColumns are read to.
func (b *balance) fields(key *string) []any {
	return []any{key, &b.amount, &b.dailyCap, &b.day, &b.spent}
}

// lock is the question that locks the rows of keys and loads them.
func (b balances) lock(keys []string) question {
	return question{
		`SELECT ` + balanceColumns + ` FROM accounts WHERE key = ANY($1) ORDER BY key FOR NO KEY UPDATE`, []any{keys},
		func(rows pgx.Rows) error {
			var key string
			var row balance
			err := rows.Scan(row.fields(&key)...)
			b[key] = &row
			return err
		},
	}
}

// spentOn is what was spent on a day, see spend.go.
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

// add changes the amount.
func (b *balance) add(amount int64) {
	b.amount += amount
	b.delta += amount
	b.changed = true
}

// balance loads the money of an account to change it; nil where there is no such
// account. Until the transaction ends nobody else changes it.
func (tx *Tx) balance(key string) (*balance, error) {
	if row := tx.balances[key]; row != nil {
		return row, nil
	}
	var row balance
	ok, err := tx.queryRow(`SELECT `+balanceColumns+` FROM accounts WHERE key = $1`+tx.lock, []any{key}, row.fields(&key)...)
	if err != nil {
		return nil, fmt.Errorf("balance of account %s: %w", key, err)
	}
	if !ok {
		return nil, nil //nolint:nilnil // as the comment says
	}
	tx.balances[key] = &row
	return &row, nil
}

// writeBalances writes what has changed: with the commit, or before a statement that
// reads or writes the rows itself. The amount is added to what stands there, and not
// put in its place.
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

// parties are the money that a verification is charged to: that of its payer, and that
// of the account that asked, which has a daily cap of its own. They are the same where
// nobody else pays.
type parties struct{ payer, asker *balance }

// parties loads the payer first, as everybody does, see LockBalances.
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

// cover reports whether a price may be spent.
func (p parties) cover(price, day int64, onCredit bool) bool {
	_, short := p.shortage(price, day, onCredit)
	return !short
}

// shortage returns the limit that keeps a price from being spent; short is false if
// none does.
func (p parties) shortage(price, day int64, onCredit bool) (by verify.Cause, short bool) {
	if !onCredit && p.payer.amount < price {
		return verify.Cause{Rule: verify.RuleBalance, Count: price, Limit: p.payer.amount}, true
	}
	for _, b := range []*balance{p.payer, p.asker} {
		if !b.within(price, day) {
			return verify.Cause{
				Rule: verify.RuleDailyCap, Count: b.spentOn(day) + price, Limit: b.dailyCap,
				Until: time.Unix((day+1)*secondsOfDay, 0).UTC(),
			}, true
		}
	}
	return by, false
}

// Shortage returns the limit that keeps the price of a verification from being charged
// to its payer; short is false if none does. It changes nothing.
func (tx *Tx) Shortage(v verify.Verification, p Payer, now time.Time) (by verify.Cause, short bool, err error) {
	if v.Price == 0 {
		return by, false, nil
	}
	parties, err := tx.parties(v.Account, cmp.Or(p.Account, v.Account))
	if err != nil {
		return by, false, err
	}
	by, short = parties.shortage(int64(v.Price), spendDay(now), p.OnCredit)
	return by, short, nil
}

// spend counts a price for the daily caps.
func (tx *Tx) spend(p parties, price, day int64) {
	tx.changed = true
	p.payer.spend(price, day)
	if p.asker != p.payer {
		p.asker.spend(price, day)
	}
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
		if _, err := tx.balance(account); err != nil {
			return err
		}
	}
	return nil
}

// refund gives a price back, which is spent no more if it was spent today.
func (p parties) refund(price verify.Money, day int64) {
	p.payer.add(int64(price))
	p.payer.unspend(int64(price), day)
	if p.asker != p.payer {
		p.asker.unspend(int64(price), day)
	}
}

func (b *balance) unspend(amount, day int64) {
	if b.day == day && b.spent >= amount {
		b.spent -= amount
	}
	b.changed = true
}
