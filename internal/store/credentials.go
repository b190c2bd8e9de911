package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/vault"
	"countersign/internal/verify"
)

// Credentials are an account with the secrets that authenticate its requests.
type Credentials struct {
	verify.Account
	SignatureMethod string
	SignatureSecret string // "" for none

	// Signature that a rotation replaced, valid until OldSignatureUntil; "" for none.
	OldSignatureMethod string
	OldSignatureSecret string
	OldSignatureUntil  time.Time

	hashes []secretHash
	seal   *vault.Sealer

	generation uint64    // generation of ofAccounts at the time of the read
	read       time.Time // time of the read
}

type secretHash struct {
	hash    []byte
	expires time.Time // zero for never
}

// HasSecret reports whether secret is one of the account's secrets and valid at now. It
// takes constant time for each of them.
func (c Credentials) HasSecret(secret string, now time.Time) bool {
	if c.seal == nil {
		return false
	}
	hash := c.seal.HashSecret(c.Key, secret)
	found := false
	for _, h := range c.hashes {
		found = hmac.Equal(h.hash, hash) && (h.expires.IsZero() || now.Before(h.expires)) || found
	}
	return found
}

// Credentials loads an account by key. For an unknown key it returns ErrNoAccount after
// loading and discarding another account, so that both cases do equal work.
func (db *DB) Credentials(ctx context.Context, key string) (Credentials, error) {
	c := Credentials{seal: db.seal, generation: db.changes.of(ofAccounts), read: time.Now()}
	rows, err := db.query(ctx, `
		SELECT `+accountColumns+`, a.signature_method, a.signature_secret,
			a.old_signature_method, a.old_signature_secret, a.old_signature_until, s.hash, s.expires_at
		FROM accounts a LEFT JOIN account_secrets s ON s.account = a.key
		WHERE a.key = COALESCE((SELECT k.key FROM accounts k WHERE k.key = $1), $2)`, key, db.decoy.key())
	if err != nil {
		return Credentials{}, fmt.Errorf("find account: %w", err)
	}
	defer rows.Close()
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
	if c.SignatureSecret, err = db.seal.OpenSecret(sealed, c.Key); err == nil {
		c.OldSignatureSecret, err = db.seal.OpenSecret(oldSealed, c.Key)
	}
	if c.Key != key || key == "" { // the decoy, or no account at all: must not be used
		for i := range c.hashes {
			clear(c.hashes[i].hash)
		}
		return Credentials{hashes: c.hashes, seal: db.seal}, ErrNoAccount
	}
	db.decoy.saw(key)
	return c, err
}

// decoy is the key of an account that is loaded for unknown keys. Accounts are never
// deleted, so the first one found is kept.
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

// maxCached bounds the cached accounts, at about 1 KB each.
const maxCached = 10_000

// credentialCache holds credentials by API key.
type credentialCache struct {
	mu    sync.RWMutex
	known map[string]Credentials
}

// CachedCredentials returns the cached credentials of an account, with every change that
// was acknowledged on any node. The balance is not cached. On a miss it returns
// ErrNoAccount and dummy credentials that never match. After any failed comparison the
// caller must go on to Credentials, so that all failures take equal time.
func (db *DB) CachedCredentials(ctx context.Context, key string) (Credentials, error) {
	if err := db.checkVersions(ctx, true); err != nil {
		return Credentials{}, err
	}
	m := &db.credentials
	m.mu.RLock()
	c, ok := m.known[key]
	m.mu.RUnlock()
	if !ok || c.generation != db.changes.of(ofAccounts) || time.Since(c.read).Abs() >= keptFor {
		return Credentials{hashes: []secretHash{{hash: make([]byte, 32)}}, seal: db.seal}, ErrNoAccount
	}
	return c, nil
}

// CacheCredentials stores a result of Credentials for CachedCredentials. Call it only after
// a request has proven the credentials of the account.
func (db *DB) CacheCredentials(c Credentials) {
	c.Balance = 0
	m := &db.credentials
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.known[c.Key]; m.known == nil || !known && len(m.known) >= maxCached {
		m.known = map[string]Credentials{} // a full cache is rare; it starts again
	}
	m.known[c.Key] = c
}
