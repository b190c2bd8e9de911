package store

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"countersign/internal/verify"
)

// What is refused of key files.
var (
	ErrRotating    = errors.New("the key file is being replaced already; finish that, or abort it")
	ErrNotRotating = errors.New("no key file is being replaced")
	ErrSameKey     = errors.New("it is the key file that opens the database already")
	ErrOtherKey    = errors.New("the key file at hand is the one that is to go; put the other in its place first")
	ErrKeyInUse    = errors.New("a server may still have the key file that is to go")
)

// keyFileRest is for how long nobody must have said that it has a key file before it
// may go. Servers say so every minute (RefreshKeys).
const keyFileRest = 3 * time.Minute

// keyFile is a row of those that open the database.
type keyFile struct {
	fingerprint []byte
	master      []byte // sealed
	createdAt   int64
	usedAt      int64
}

// lockKeyFiles loads the key files, the oldest first. Until the transaction ends
// nobody else changes them, nor what they open.
func (tx *Tx) lockKeyFiles() (files []keyFile, err error) {
	rows, err := tx.query(`SELECT fingerprint, master, created_at, used_at FROM key_files ORDER BY created_at, fingerprint` + tx.lock)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f keyFile
		if err := rows.Scan(&f.fingerprint, &f.master, &f.createdAt, &f.usedAt); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, rows.Err()
}

// master opens the master key with a file of which there must be a row.
func master(files []keyFile, with Key) (Key, error) {
	for _, f := range files {
		if string(f.fingerprint) == string(with.fingerprint()) {
			return with.openMaster(f.master)
		}
	}
	return Key{}, ErrKey
}

// AddKeyFile lets the database be opened with another key file, too, in order to
// replace the present one: when all servers have the new file, FinishKeyFile takes
// the old one away.
func (db *DB) AddKeyFile(ctx context.Context, next Key, now time.Time) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		files, err := tx.lockKeyFiles()
		switch {
		case err != nil:
			return err
		case len(files) > 1:
			return ErrRotating
		}
		ours := *db.file.Load()
		if ours == next {
			return ErrSameKey
		}
		if _, err := tx.exec(`INSERT INTO key_files (fingerprint, master, created_at, used_at) VALUES ($1, $2, $3, 0)`,
			next.fingerprint(), []byte{}, max(millis(now), files[0].createdAt+1)); err != nil {
			return err
		}
		if _, err := tx.exec(`UPDATE key_files SET used_at = $1 WHERE fingerprint = $2`, millis(now), ours.fingerprint()); err != nil {
			return err
		}
		return tx.reseal(files, ours, next)
	})
	if err != nil {
		return fmt.Errorf("add key file: %w", err)
	}
	return nil
}

// FinishKeyFile takes away the key file that AddKeyFile was to replace. It is refused
// with ErrKeyInUse while a server may have it still, unless forced, and with
// ErrOtherKey where this is not the new one.
func (db *DB) FinishKeyFile(ctx context.Context, now time.Time, force bool) error {
	return db.removeKeyFile(ctx, now, force, 0)
}

// AbortKeyFile takes AddKeyFile back, under the same conditions.
func (db *DB) AbortKeyFile(ctx context.Context, now time.Time, force bool) error {
	return db.removeKeyFile(ctx, now, force, 1)
}

// removeKeyFile takes one of two key files away: the older (0), or the newer (1).
func (db *DB) removeKeyFile(ctx context.Context, now time.Time, force bool, which int) error {
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		files, err := tx.lockKeyFiles()
		switch {
		case err != nil:
			return err
		case len(files) < 2:
			return ErrNotRotating
		}
		gone, ours := files[which], *db.file.Load()
		if string(gone.fingerprint) == string(ours.fingerprint()) {
			return ErrOtherKey
		}
		used := fromMillis(gone.usedAt)
		if free := used.Add(keyFileRest); now.Before(free) && !verify.FromFuture(used, now) && !force {
			return fmt.Errorf("%w: one said so at %s; try again after %s", ErrKeyInUse,
				used.Format(time.RFC3339), free.Format(time.RFC3339))
		}
		if _, err := tx.exec(`DELETE FROM key_files WHERE fingerprint = $1`, gone.fingerprint); err != nil {
			return err
		}
		return tx.reseal(files, ours)
	})
	if err != nil {
		return fmt.Errorf("remove key file: %w", err)
	}
	return nil
}

// reseal gives the database a new master key, which the files given open, and no
// other. So whoever gets hold of one that has gone, or of a backup and one that has
// come since, finds nothing that the other opens.
func (tx *Tx) reseal(files []keyFile, ours Key, others ...Key) error {
	was, err := master(files, ours)
	if err != nil {
		return err
	}
	next := NewKey()
	keys, sealed, err := tx.dataKeys()
	if err != nil {
		return err
	}
	for i, k := range keys {
		if err := k.open(sealed[i], was); err != nil {
			return err
		}
		if err := tx.send(`UPDATE data_keys SET sealed = $1 WHERE id = $2`, k.sealUnder(next), k.id); err != nil {
			return err
		}
	}
	for _, file := range append(others, ours) {
		if err := tx.send(`UPDATE key_files SET master = $1 WHERE fingerprint = $2`, file.sealMaster(next), file.fingerprint()); err != nil {
			return err
		}
	}
	return nil
}

// dataKeys loads the rows of the data keys, which are not opened yet.
func (tx *Tx) dataKeys() (keys []*dataKey, sealed [][]byte, err error) {
	rows, err := tx.query(`SELECT id, purpose, sealed, created_at FROM data_keys ORDER BY id`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k dataKey
		var s []byte
		var created int64
		if err := rows.Scan(&k.id, &k.purpose, &s, &created); err != nil {
			return nil, nil, err
		}
		k.createdAt = fromMillis(created)
		keys, sealed = append(keys, &k), append(sealed, s)
	}
	return keys, sealed, rows.Err()
}

// openKeys reads the keys with the key file, and makes the keys of a new database.
func (db *DB) openKeys(ctx context.Context, pool *sql.DB, cfg Config) error {
	db.file.Store(&cfg.Key)
	now := cfg.Now
	if now.IsZero() {
		now = time.Now()
	}
	set, err := readKeys(ctx, sqlReader{pool}, cfg.Key, now)
	if errors.Is(err, ErrKey) {
		if err := db.firstKeys(ctx, pool, cfg.Key, now.UTC()); err != nil {
			return err
		}
		set, err = readKeys(ctx, sqlReader{pool}, cfg.Key, now)
	}
	if err != nil {
		return err
	}
	db.seal = newSealer(set)
	db.seal.data.read = db.readKeys
	db.seal.data.asOf.Store(millis(now))
	var sealed []byte
	if err := pool.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, keyCheck).Scan(&sealed); err != nil {
		return fmt.Errorf("read key check: %w", err)
	}
	if _, err := db.seal.openAccount(sealed, keyCheck); err != nil {
		return ErrKey
	}
	return nil
}

// newSealer takes the keys that last from a set. A hash of something else is to have
// a key that is derived from that of secrets.
func newSealer(set *keySet) *sealer {
	secrets := set.newest[forSecret].raw
	numbers, err := hkdf.Key(sha256.New, secrets[:], nil, "countersign number", len(sealer{}.numbers))
	if err != nil {
		panic(err) // only for a length that SHA-256 cannot give
	}
	s := &sealer{accounts: set.newest[forAccount].aead, secrets: secrets, numbers: [32]byte(numbers)}
	s.data.keys.Store(set)
	return s
}

// firstKeys makes the keys of a database that has none, whoever comes first.
func (db *DB) firstKeys(ctx context.Context, pool *sql.DB, file Key, now time.Time) (err error) {
	unlock, err := db.lockSchema(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, db.begin); err != nil {
		return err
	}
	err = makeFirstKeys(ctx, conn, file, now)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	_, endErr := conn.ExecContext(context.WithoutCancel(ctx), end)
	return errors.Join(err, endErr)
}

func makeFirstKeys(ctx context.Context, conn *sql.Conn, file Key, now time.Time) error {
	var files int
	if err := conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM key_files`).Scan(&files); err != nil || files > 0 {
		return err
	}
	var keys []*dataKey
	for i, p := range []purpose{forAccount, forSecret, forPIN, forCode} {
		keys = append(keys, newDataKey(int64(i+1), p, NewKey(), now))
	}
	check := newSealer(newKeySet(keys, now)).sealAccount(keyCheck, keyCheck)
	master := NewKey()
	if _, err := conn.ExecContext(ctx, `INSERT INTO key_files (fingerprint, master, created_at, used_at) VALUES ($1, $2, $3, 0)`,
		file.fingerprint(), file.sealMaster(master), millis(now)); err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := conn.ExecContext(ctx, insertDataKey, k.id, string(k.purpose), k.sealUnder(master), millis(k.createdAt)); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)`, keyCheck, check)
	return err
}

const insertDataKey = `INSERT INTO data_keys (id, purpose, sealed, created_at) VALUES ($1, $2, $3, $4)`

// fingerprintText is how a fingerprint is shown.
func fingerprintText(f []byte) string { return hex.EncodeToString(f) }
