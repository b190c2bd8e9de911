package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// ErrNoAccount is returned for an unknown key.
var ErrNoAccount = errors.New("no such account")

// ErrAccountExists is returned if the key of a new account is already used.
var ErrAccountExists = errors.New("an account with this key exists")

// ErrNotApproved is returned by Unapprove if the number is not approved.
var ErrNotApproved = errors.New("the number is not approved")

const accountColumns = `a.key, a.name, a.barred, a.trial, a.custom_pin, a.rate, a.unlimited, a.parent,
	CASE WHEN a.parent = '' THEN a.balance ELSE (SELECT p.balance FROM accounts p WHERE p.key = a.parent) END,
	CASE WHEN a.parent = '' THEN FALSE ELSE (SELECT p.unlimited FROM accounts p WHERE p.key = a.parent) END, a.daily_cap, a.on_undeliverable, a.settings`

func scanAccount(a *verify.Account) []any {
	return []any{
		&a.Key, &a.Name, &a.Barred, &a.Trial, &a.CustomPIN, &a.Rate, &a.Unlimited, &a.Parent,
		&a.Balance, &a.PayerUnlimited, &a.DailyCap, &a.OnUndeliverable, (*settingsColumn)(&a.Settings),
	}
}

// Accounts lists all accounts by key.
func (db *DB) Accounts(ctx context.Context) ([]verify.Account, error) {
	rows, err := db.query(ctx, `SELECT `+accountColumns+` FROM accounts a ORDER BY a.key`)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	defer rows.Close()
	var accounts []verify.Account
	for rows.Next() {
		var a verify.Account
		if err := rows.Scan(scanAccount(&a)...); err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		accounts = append(accounts, a)
	}
	return accounts, rows.Err()
}

// NewAccount is an account to create. Its Balance is a first top-up, of its parent's
// balance if it has a parent.
type NewAccount struct {
	verify.Account
	Secret          string
	SignatureMethod string
	SignatureSecret string
	Approved        []string // numbers a trial account may reach
}

// CreateAccount adds an account with its first secret.
func (db *DB) CreateAccount(ctx context.Context, a NewAccount, now time.Time) error {
	var changes []topic // no node has cached the new account
	if a.Settings.Autofill != (verify.Autofill{}) || len(a.Settings.CarrierValues) > 0 || len(a.Settings.SpokenBrands) > 0 {
		changes = []topic{ofTemplates}
	}
	err := db.Write(ctx, Scope{Account: a.Payer(), Charges: true}, func(tx *Tx) error {
		if err := tx.mayPay(a.Parent, a.Key); err != nil {
			return err
		}
		var sealed []byte
		if a.SignatureSecret != "" {
			sealed = tx.seal.SealSecret(a.SignatureSecret, a.Key)
		}
		settings, err := encodeSettings("{}", a.Settings)
		if err != nil {
			return err
		}
		n, err := tx.exec(`
			INSERT INTO accounts (key, name, barred, trial, custom_pin, rate, unlimited, parent, daily_cap,
				on_undeliverable, settings, signature_method, signature_secret, created_at)
			VALUES (`+placeholders(14)+`) ON CONFLICT DO NOTHING`,
			a.Key, a.Name, a.Barred, a.Trial, a.CustomPIN, a.Rate, a.Unlimited, a.Parent, int64(a.DailyCap),
			string(cmp.Or(a.OnUndeliverable, verify.UndeliverableWait)), settings, a.SignatureMethod, sealed, millis(now))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrAccountExists
		}
		if err := tx.addSecret(a.Key, a.Secret, time.Time{}, now); err != nil {
			return err
		}
		for _, number := range a.Approved {
			if err := tx.approve(a.Key, number, now); err != nil {
				return err
			}
		}
		if a.Balance != 0 {
			if err := tx.TopUp(a.Payer(), a.Balance, now); err != nil {
				return err
			}
		}
		return tx.bumpVersions(changes...)
	})
	db.waitForNodes(ctx, err, changes...)
	if err != nil {
		return fmt.Errorf("create account %s: %w", a.Key, err)
	}
	return nil
}

// SetBarred sets whether an account is barred from starting verifications.
func (db *DB) SetBarred(ctx context.Context, key string, barred bool) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		_, err := tx.exec(`UPDATE accounts SET barred = $1 WHERE key = $2`, barred, key)
		return err
	}, ofAccounts)
}

// SetUnlimited sets whether an account is exempt from limits of rate and credit.
func (db *DB) SetUnlimited(ctx context.Context, key string, unlimited bool) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		_, err := tx.exec(`UPDATE accounts SET unlimited = $1 WHERE key = $2`, unlimited, key)
		return err
	}, ofAccounts)
}

// OnUndeliverable returns the account's rule for the next event after a failed event.
func (tx *Tx) OnUndeliverable(account string) (then verify.OnUndeliverable, err error) {
	_, err = tx.queryRow(`SELECT on_undeliverable FROM accounts WHERE key = $1`, []any{account}, &then)
	return then, err
}

// Credit adds amount, which may be negative, to the balance that the account uses: its
// own or its parent's.
func (db *DB) Credit(ctx context.Context, key string, amount verify.Money, now time.Time) error {
	payer, err := db.payer(ctx, key)
	if err != nil {
		return fmt.Errorf("change account %s: %w", key, err)
	}
	return db.changeAccount(ctx, payer, func(tx *Tx) error { return tx.TopUp(payer, amount, now) })
}

// payer returns the account with the balance that an account uses: its parent, or itself. It
// returns ErrNoAccount for an unknown key.
func (db *DB) payer(ctx context.Context, key string) (payer string, err error) {
	err = db.queryRow(ctx, `SELECT CASE WHEN parent = '' THEN key ELSE parent END FROM accounts WHERE key = $1`, []any{key}, &payer)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoAccount
	}
	return payer, err
}

// changeAccount runs change in a transaction, and marks the topics of as changed. Its error
// wraps ErrNoAccount for an unknown key.
func (db *DB) changeAccount(ctx context.Context, key string, change func(*Tx) error, of ...topic) error {
	payer, err := db.payer(ctx, key)
	if err != nil {
		return fmt.Errorf("change account %s: %w", key, err)
	}
	err = db.Write(ctx, Scope{Account: payer, Charges: true}, func(tx *Tx) error {
		if err := tx.LockBalances(payer); err != nil {
			return err
		}
		// An update without a change: its row count reports whether the account exists.
		n, err := tx.exec(`UPDATE accounts SET name = name WHERE key = $1`, key)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNoAccount
		}
		if err := change(tx); err != nil {
			return err
		}
		return tx.bumpVersions(of...)
	})
	db.waitForNodes(ctx, err, of...)
	if err != nil {
		return fmt.Errorf("change account %s: %w", key, err)
	}
	return nil
}

// Approved reports whether a trial account may reach number.
func (db *DB) Approved(ctx context.Context, account, number string) (bool, error) {
	return db.exists(ctx, `SELECT 1 FROM approved_numbers WHERE account = $1 AND number = $2`, account, number)
}

// ApprovedNumbers lists the numbers that a trial account may reach.
func (db *DB) ApprovedNumbers(ctx context.Context, account string) (numbers []string, err error) {
	rows, err := db.query(ctx, `SELECT number FROM approved_numbers WHERE account = $1 ORDER BY number`, account)
	if err != nil {
		return nil, fmt.Errorf("list approved numbers: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number string
		if err := rows.Scan(&number); err != nil {
			return nil, fmt.Errorf("list approved numbers: %w", err)
		}
		numbers = append(numbers, number)
	}
	return numbers, rows.Err()
}

// Approve lets a trial account reach number.
func (db *DB) Approve(ctx context.Context, account, number string, now time.Time) error {
	return db.changeAccount(ctx, account, func(tx *Tx) error { return tx.approve(account, number, now) })
}

func (tx *Tx) approve(account, number string, now time.Time) error {
	return tx.send(`INSERT INTO approved_numbers (account, number, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		account, number, millis(now))
}

// Unapprove withdraws an approval. It returns ErrNotApproved if the number is not approved.
func (db *DB) Unapprove(ctx context.Context, account, number string) error {
	return db.changeAccount(ctx, account, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM approved_numbers WHERE account = $1 AND number = $2`, account, number)
		if err == nil && n == 0 {
			err = ErrNotApproved
		}
		return err
	})
}

func (db *DB) exists(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := db.queryRow(ctx, query, args, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
