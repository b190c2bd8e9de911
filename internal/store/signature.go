package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// ErrSignatureUsed is returned for a signature of an earlier request.
var ErrSignatureUsed = errors.New("the signature was used before")

// SignatureUsed reports whether an earlier request of the account had a signature.
func (db *DB) SignatureUsed(ctx context.Context, account string, signature []byte) (bool, error) {
	used, err := db.exists(ctx, `SELECT 1 FROM used_signatures WHERE account = $1 AND signature = $2`,
		account, signatureKey(signature))
	if err != nil {
		return false, fmt.Errorf("find signature: %w", err)
	}
	return used, nil
}

// UseSignature stores a signature until it expires, so that no other request on any node
// can use it. It returns ErrSignatureUsed if it is already stored.
func (db *DB) UseSignature(ctx context.Context, account string, signature []byte, expires time.Time) error {
	used := false
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(`INSERT INTO used_signatures (account, signature, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			account, signatureKey(signature), millis(expires))
		used = n == 0 // not an error of the job, which would break up its batch: any client can repeat a signature
		return err
	})
	if err == nil && used {
		err = ErrSignatureUsed
	}
	if err != nil {
		return fmt.Errorf("use signature: %w", err)
	}
	return nil
}

// ForgetSignatures deletes up to limit expired signatures, and returns their number.
func (db *DB) ForgetSignatures(ctx context.Context, now time.Time, limit int) (forgotten int, err error) {
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		n, err := tx.exec(`DELETE FROM used_signatures WHERE (account, signature) IN (
			SELECT account, signature FROM used_signatures WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`, millis(now), limit)
		forgotten = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget signatures: %w", err)
	}
	return forgotten, nil
}

// signatureKey returns the stored form of a signature: a hash of fixed length, which
// cannot be used as a signature.
func signatureKey(signature []byte) []byte {
	sum := sha256.Sum256(signature)
	return sum[:16]
}
