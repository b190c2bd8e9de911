package store

import (
	"context"
	"errors"

	"countersign/internal/verify"
)

var (
	// ErrNoParent is returned for a parent that does not exist.
	ErrNoParent = errors.New("there is no such parent account")
	// ErrParent is returned for a parent that has a parent, and for a sub-account that has
	// sub-accounts: there is only one level.
	ErrParent = errors.New("a sub-account cannot have sub-accounts")
	// ErrOwnBalance is returned if a new sub-account's own balance is not zero.
	ErrOwnBalance = errors.New("the account has its own balance; bring it to zero before setting a parent")
)

// UpdateAccount changes an account. change receives the current account and may run more
// than once. Its changes of Key and Balance are ignored.
func (db *DB) UpdateAccount(ctx context.Context, key string, change func(*verify.Account) error) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		if err := tx.writeBalances(); err != nil { // they include the daily cap, which changes below
			return err
		}
		var (
			a        verify.Account
			settings string
		)
		ok, err := tx.queryRow(`SELECT `+accountColumns+`, a.settings FROM accounts a WHERE a.key = $1`+tx.dialect.Lock,
			[]any{key}, append(scanAccount(&a), &settings)...)
		if err == nil && !ok {
			err = ErrNoAccount
		}
		if err != nil {
			return err
		}
		parent := a.Parent
		if err := change(&a); err != nil {
			return err
		}
		if a.Parent != parent {
			if err := tx.maySwitch(key, a.Parent); err != nil {
				return err
			}
		}
		if settings, err = encodeSettings(settings, a.Settings); err != nil {
			return err
		}
		return tx.send(`UPDATE accounts SET name = $2, barred = $3, trial = $4, custom_pin = $5, rate = $6, unlimited = $7,
				parent = $8, daily_cap = $9, on_undeliverable = $10, settings = $11
			WHERE key = $1`,
			key, a.Name, a.Barred, a.Trial, a.CustomPIN, a.Rate, a.Unlimited,
			a.Parent, int64(a.DailyCap), string(a.OnUndeliverable), settings)
	}, ofAccounts, ofTemplates)
}

// mayPay returns an error if an account cannot use the balance of parent; "" is always
// valid. It locks the parent until the transaction ends.
func (tx *Tx) mayPay(parent, key string) error {
	if parent == "" {
		return nil
	}
	if parent == key {
		return ErrParent
	}
	var above string
	ok, err := tx.queryRow(`SELECT parent FROM accounts WHERE key = $1`+tx.dialect.Lock, []any{parent}, &above)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrNoParent
	case above != "":
		return ErrParent
	}
	return nil
}

// maySwitch returns an error if an account cannot change to the parent, or to its own
// balance for "".
func (tx *Tx) maySwitch(key, parent string) error {
	if err := tx.mayPay(parent, key); err != nil || parent == "" {
		return err
	}
	var (
		balance  int64
		isParent bool
	)
	_, err := tx.queryRow(`SELECT balance, EXISTS (SELECT 1 FROM accounts WHERE parent = $1) FROM accounts WHERE key = $1`,
		[]any{key}, &balance, &isParent)
	switch {
	case err != nil:
		return err
	case isParent:
		return ErrParent
	case balance != 0:
		return ErrOwnBalance
	}
	return nil
}
