package store

import (
	"context"
	"fmt"
	"time"
)

// Keys are the keys of a database, without what is in them.
type Keys struct {
	Files []KeyFile // the oldest first
	Data  []DataKey // the oldest first
}

// KeyFile is a key file that opens the database.
type KeyFile struct {
	Fingerprint string // see Key.Fingerprint
	CreatedAt   time.Time
	UsedAt      time.Time // when a server last said that it has it; zero for never. Told only while there are two
	Ours        bool      // it is the one that this process has
}

// DataKey is a key that lies in the database, sealed.
type DataKey struct {
	ID        int64
	Purpose   string // account, secret, pin or code
	CreatedAt time.Time
	Current   bool // it is what this process seals with
}

// Keys tells which keys there are.
func (db *DB) Keys(ctx context.Context) (k Keys, err error) {
	rows, err := db.query(ctx, `SELECT fingerprint, created_at, used_at FROM key_files ORDER BY created_at, fingerprint`)
	if err != nil {
		return k, fmt.Errorf("list key files: %w", err)
	}
	defer rows.Close()
	ours := db.file.Load().Fingerprint()
	for rows.Next() {
		var f KeyFile
		var fingerprint []byte
		var created, used int64
		if err := rows.Scan(&fingerprint, &created, &used); err != nil {
			return k, fmt.Errorf("list key files: %w", err)
		}
		f.Fingerprint, f.CreatedAt = fingerprintText(fingerprint), fromMillis(created)
		f.Ours = f.Fingerprint == ours
		if used > 0 {
			f.UsedAt = fromMillis(used)
		}
		k.Files = append(k.Files, f)
	}
	if err := rows.Err(); err != nil {
		return k, fmt.Errorf("list key files: %w", err)
	}
	set, err := db.seal.data.readAfter(db.seal.data.keys.Load())
	if err != nil {
		return k, fmt.Errorf("list data keys: %w", err)
	}
	for _, d := range set.sorted() {
		k.Data = append(k.Data, DataKey{d.id, string(d.purpose), d.createdAt, set.newest[d.purpose] == d})
	}
	return k, nil
}
