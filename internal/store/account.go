package store

import (
	"cmp"
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"countersign/internal/verify"
)

// ErrNoAccount is returned for a key that no account has.
var ErrNoAccount = errors.New("no such account")

// ErrAccountExists is returned when a new account's key is taken.
var ErrAccountExists = errors.New("an account with this key exists")

// ErrNotApproved is returned when a number is to lose an approval that it has not.
var ErrNotApproved = errors.New("the number is not approved")

// Credentials are an account together with what proves that a request is its.
type Credentials struct {
	verify.Account
	SignatureMethod string
	SignatureSecret string // "" when the account has none

	// What a rotation replaced, which is good until then; "" when there is none.
	OldSignatureMethod string
	OldSignatureSecret string
	OldSignatureUntil  time.Time

	hashes []secretHash
	seal   *sealer
}

type secretHash struct {
	hash    []byte
	expires time.Time // zero for never
}

// HasSecret reports, in constant time for each of the account's secrets, whether
// secret is one of them that is good at now.
func (c Credentials) HasSecret(secret string, now time.Time) bool {
	if c.seal == nil {
		return false
	}
	hash := c.seal.hashSecret(c.Key, secret)
	found := false
	for _, h := range c.hashes {
		found = hmac.Equal(h.hash, hash) && (h.expires.IsZero() || now.Before(h.expires)) || found
	}
	return found
}

const accountColumns = `a.key, a.name, a.barred, a.trial, a.custom_pin, a.rate, a.unlimited, a.parent,
	CASE WHEN a.parent = '' THEN a.balance ELSE (SELECT p.balance FROM accounts p WHERE p.key = a.parent) END,
	CASE WHEN a.parent = '' THEN FALSE ELSE (SELECT p.unlimited FROM accounts p WHERE p.key = a.parent) END, a.daily_cap, a.on_undeliverable, a.settings`

func scanAccount(a *verify.Account) []any {
	return []any{
		&a.Key, &a.Name, &a.Barred, &a.Trial, &a.CustomPIN, &a.Rate, &a.Unlimited, &a.Parent,
		&a.Balance, &a.PayerUnlimited, &a.DailyCap, &a.OnUndeliverable, (*settingsColumn)(&a.Settings),
	}
}

// Credentials finds an account by its key. For an unknown key it returns
// ErrNoAccount, and does the same work: it loads an account all the same, one that it
// has seen before, and throws it away.
func (db *DB) Credentials(ctx context.Context, key string) (Credentials, error) {
	rows, err := db.query(ctx, `
		SELECT `+accountColumns+`, a.signature_method, a.signature_secret,
			a.old_signature_method, a.old_signature_secret, a.old_signature_until, s.hash, s.expires_at
		FROM accounts a LEFT JOIN account_secrets s ON s.account = a.key
		WHERE a.key = COALESCE((SELECT k.key FROM accounts k WHERE k.key = $1), $2)`, key, db.decoy.key())
	if err != nil {
		return Credentials{}, fmt.Errorf("find account: %w", err)
	}
	defer rows.Close()
	c := Credentials{seal: db.seal}
	var sealed, oldSealed []byte
	for rows.Next() {
		var (
			hash           []byte
			until, expires sql.NullInt64
		)
		if err := rows.Scan(append(scanAccount(&c.Account), &c.SignatureMethod, &sealed,
			&c.OldSignatureMethod, &oldSealed, &until, &hash, &expires)...); err != nil {
			return Credentials{}, fmt.Errorf("find account: %w", err)
		}
		c.OldSignatureUntil = fromMillisOrNull(until)
		if hash != nil {
			c.hashes = append(c.hashes, secretHash{hash, fromMillisOrNull(expires)})
		}
	}
	if err := rows.Err(); err != nil {
		return Credentials{}, fmt.Errorf("find account: %w", err)
	}
	if len(c.hashes) == 0 {
		c.hashes = []secretHash{{hash: make([]byte, 32)}}
	}
	if c.SignatureSecret, err = db.seal.openSignature(sealed, c.Key); err == nil {
		c.OldSignatureSecret, err = db.seal.openSignature(oldSealed, c.Key)
	}
	if c.Key != key || key == "" { // another's, or nobody's: nothing of it may be used
		for i := range c.hashes {
			clear(c.hashes[i].hash)
		}
		return Credentials{hashes: c.hashes, seal: db.seal}, ErrNoAccount
	}
	db.decoy.saw(key)
	return c, err
}

// decoy is the key of some account, which is loaded in place of those that are not
// there. Accounts are not deleted, so the first will do for ever.
type decoy struct{ first atomic.Pointer[string] }

func (d *decoy) key() string {
	if key := d.first.Load(); key != nil {
		return *key
	}
	return ""
}

func (d *decoy) saw(key string) {
	if d.first.Load() == nil {
		d.first.Store(&key)
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
	err := db.WriteFor(ctx, a.Payer(), func(tx *Tx) error {
		if err := tx.mayPay(a.Parent, a.Key); err != nil {
			return err
		}
		var sealed []byte
		if a.SignatureSecret != "" {
			sealed = tx.seal.sealAccount(a.SignatureSecret, a.Key)
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
		if a.Balance == 0 {
			return nil
		}
		return tx.TopUp(a.Payer(), a.Balance, now)
	})
	if err != nil {
		return fmt.Errorf("create account %s: %w", a.Key, err)
	}
	return nil
}

// SetBarred bars an account from starting verifications, or lets it again.
func (db *DB) SetBarred(ctx context.Context, key string, barred bool) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		_, err := tx.exec(`UPDATE accounts SET barred = $1 WHERE key = $2`, barred, key)
		return err
	})
}

// SetUnlimited lifts an account's limits of rate and credit, or restores them.
func (db *DB) SetUnlimited(ctx context.Context, key string, unlimited bool) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		_, err := tx.exec(`UPDATE accounts SET unlimited = $1 WHERE key = $2`, unlimited, key)
		return err
	})
}

// SetOnUndeliverable says when an account's next event comes after one that failed.
func (db *DB) SetOnUndeliverable(ctx context.Context, key string, then verify.OnUndeliverable) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		_, err := tx.exec(`UPDATE accounts SET on_undeliverable = $1 WHERE key = $2`, string(then), key)
		return err
	})
}

// OnUndeliverable says when an account's next event comes after one that failed.
func (tx *Tx) OnUndeliverable(account string) (then verify.OnUndeliverable, err error) {
	_, err = tx.queryRow(`SELECT on_undeliverable FROM accounts WHERE key = $1`, []any{account}, &then)
	return then, err
}

// Credit adds amount to the balance that the account uses, which may be its parent's;
// a negative amount takes it away.
func (db *DB) Credit(ctx context.Context, key string, amount verify.Money, now time.Time) error {
	payer, err := db.payer(ctx, key)
	if err != nil {
		return fmt.Errorf("change account %s: %w", key, err)
	}
	return db.changeAccount(ctx, payer, func(tx *Tx) error { return tx.TopUp(payer, amount, now) })
}

// payer is whose balance an account uses.
func (db *DB) payer(ctx context.Context, key string) (payer string, err error) {
	err = db.queryRow(ctx, `SELECT CASE WHEN parent = '' THEN key ELSE parent END FROM accounts WHERE key = $1`, []any{key}, &payer)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoAccount
	}
	return payer, err
}

// changeAccount runs change when there is such an account.
func (db *DB) changeAccount(ctx context.Context, key string, change func(*Tx) error) error {
	payer, err := db.payer(ctx, key)
	if err != nil {
		return fmt.Errorf("change account %s: %w", key, err)
	}
	err = db.WriteFor(ctx, payer, func(tx *Tx) error {
		if err := tx.LockBalances(payer); err != nil {
			return err
		}
		// A harmless update that says whether the row is there.
		n, err := tx.exec(`UPDATE accounts SET name = name WHERE key = $1`, key)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNoAccount
		}
		return change(tx)
	})
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

// Unapprove takes that back.
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
