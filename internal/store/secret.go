package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxSecrets bounds the valid API secrets of an account: two during a replacement, and a
// few more for customers with one secret for each of their systems.
const MaxSecrets = 5

var (
	// ErrSecrets is returned if the account already has MaxSecrets secrets.
	ErrSecrets = fmt.Errorf("an account has at most %d secrets; revoke one first", MaxSecrets)
	// ErrNoSecret is returned if the account has no secret with the id.
	ErrNoSecret = errors.New("no such secret")
	// ErrSecretExists is returned if the account already has the secret.
	ErrSecretExists = errors.New("the account has this secret already")
)

// Secret describes an API secret without the secret itself.
type Secret struct {
	ID        string // first bytes of its keyed hash, from which the secret cannot be derived
	CreatedAt time.Time
	ExpiresAt time.Time // first moment at which it is not valid; zero for never
}

func secretID(hash []byte) string { return hex.EncodeToString(hash[:4]) }

// Secrets lists an account's secrets that are valid at now, oldest first.
func (db *DB) Secrets(ctx context.Context, key string, now time.Time) ([]Secret, error) {
	rows, err := db.query(ctx, `SELECT s.hash, s.created_at, s.expires_at
		FROM accounts a LEFT JOIN account_secrets s ON s.account = a.key AND (s.expires_at IS NULL OR s.expires_at > $2)
		WHERE a.key = $1 ORDER BY s.created_at, s.hash`, key, millis(now))
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	defer rows.Close()
	there := false
	var list []Secret
	for rows.Next() {
		there = true
		var (
			hash             []byte
			created, expires sql.NullInt64
		)
		if err := rows.Scan(&hash, &created, &expires); err != nil {
			return nil, fmt.Errorf("list secrets: %w", err)
		}
		if hash != nil {
			list = append(list, Secret{secretID(hash), fromMillisOrNull(created), fromMillisOrNull(expires)})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	if !there {
		return nil, ErrNoAccount
	}
	return list, nil
}

// AddSecret adds a secret to the account, valid until expires; zero means indefinitely.
func (db *DB) AddSecret(ctx context.Context, key, secret string, expires, now time.Time) (added Secret, err error) {
	added = Secret{secretID(db.seal.HashSecret(key, secret)), now, expires}
	return added, db.changeAccount(ctx, key, func(tx *Tx) error { return tx.addSecret(key, secret, expires, now) }, ofAccounts)
}

func (tx *Tx) addSecret(account, secret string, expires, now time.Time) error {
	// Only ForgetSecrets deletes expired secrets: the clock of this node may be wrong.
	var n int
	if _, err := tx.queryRow(`SELECT COUNT(*) FROM account_secrets WHERE account = $1 AND (expires_at IS NULL OR expires_at > $2)`,
		[]any{account, millis(now)}, &n); err != nil {
		return err
	}
	if n >= MaxSecrets {
		return ErrSecrets
	}
	changed, err := tx.exec(`INSERT INTO account_secrets (account, hash, created_at, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, hash) DO UPDATE SET created_at = excluded.created_at, expires_at = excluded.expires_at
			WHERE account_secrets.expires_at <= excluded.created_at`, account, tx.seal.HashSecret(account, secret), millis(now), millisOrNull(expires))
	if err == nil && changed == 0 {
		err = ErrSecretExists
	}
	return err
}

// RotateSecret replaces all secrets of the account by a new one. The old ones expire at
// until, or earlier if they would anyway; they end immediately if until is not after now.
func (db *DB) RotateSecret(ctx context.Context, key, secret string, until, now time.Time) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		var err error
		if until.After(now) {
			_, err = tx.exec(`UPDATE account_secrets SET expires_at = $2
				WHERE account = $1 AND (expires_at IS NULL OR expires_at > $2)`, key, millis(until))
		} else {
			_, err = tx.exec(`DELETE FROM account_secrets WHERE account = $1`, key)
		}
		if err != nil {
			return err
		}
		return tx.addSecret(key, secret, time.Time{}, now)
	}, ofAccounts)
}

// RevokeSecret ends one of the account's secrets immediately.
func (db *DB) RevokeSecret(ctx context.Context, key, id string) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		hash, err := tx.secretWith(key, id)
		if err != nil {
			return err
		}
		_, err = tx.exec(`DELETE FROM account_secrets WHERE account = $1 AND hash = $2`, key, hash)
		return err
	}, ofAccounts)
}

func (tx *Tx) secretWith(account, id string) (hash []byte, err error) {
	rows, err := tx.query(`SELECT hash FROM account_secrets WHERE account = $1`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h []byte
		if err := rows.Scan(&h); err != nil {
			return nil, err
		}
		if secretID(h) == id {
			hash = h
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if hash == nil {
		return nil, ErrNoSecret
	}
	return hash, nil
}

// SetSignature replaces the account's signature method and secret. The old secret remains
// valid until a time, if that is in the future. With an empty secret every signed request
// is refused.
func (db *DB) SetSignature(ctx context.Context, key, method, secret string, until, now time.Time) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		var sealed []byte
		if secret != "" {
			sealed = tx.seal.SealSecret(secret, key)
		}
		keep := until.After(now)
		return tx.send(`UPDATE accounts SET
				old_signature_method = CASE WHEN $4 AND signature_secret IS NOT NULL THEN signature_method ELSE '' END,
				old_signature_until = CASE WHEN $4 AND signature_secret IS NOT NULL THEN CAST($5 AS BIGINT) END,
				old_signature_secret = CASE WHEN $4 THEN signature_secret END,
				signature_method = $2, signature_secret = $3
			WHERE key = $1`, key, method, sealed, keep, millis(until))
	}, ofAccounts)
}

// ForgetSecrets deletes the secrets that have expired by now.
func (db *DB) ForgetSecrets(ctx context.Context, now time.Time) error {
	expired, err := db.exists(ctx, `SELECT 1 FROM account_secrets WHERE expires_at <= $1
		UNION ALL SELECT 1 FROM accounts WHERE old_signature_until <= $1 LIMIT 1`, millis(now))
	if err == nil && expired {
		err = db.Write(ctx, Scope{}, func(tx *Tx) error {
			return errors.Join(
				tx.send(`DELETE FROM account_secrets WHERE expires_at <= $1`, millis(now)),
				tx.send(`UPDATE accounts SET old_signature_method = '', old_signature_secret = NULL, old_signature_until = NULL
					WHERE old_signature_until <= $1`, millis(now)))
		})
	}
	if err != nil {
		return fmt.Errorf("forget secrets: %w", err)
	}
	return nil
}

// NewAPIKey returns a random key in the format of the original API: 8 lower-case letters
// and digits.
func NewAPIKey() string { return randomText(8) }

// NewAPISecret returns a random secret of 160 bits.
func NewAPISecret() string { return randomText(32) }

// randomText returns n characters with 5 random bits each.
func randomText(n int) string {
	raw := make([]byte, (n*5+7)/8)
	rand.Read(raw) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))[:n]
}
