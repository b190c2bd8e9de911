package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/vault"
)

// keyCheck is the setting with the key check of the vault (vault.Rows.Check).
const keyCheck = "key_check"

// longestVerification is the longest time from the start of a verification to its end that a
// request can produce, and a margin.
const longestVerification = 6 * time.Hour

// Vault returns the keys of the database.
func (db *DB) Vault() *vault.Vault { return db.vault }

// openKeys opens the keys of the database. It makes the keys of a new database.
func (db *DB) openKeys(ctx context.Context, pool *sql.DB, cfg Config) error {
	now := cfg.Now
	if now.IsZero() {
		now = time.Now()
	}
	rows, err := readKeys(ctx, pool)
	if err == nil && len(rows.Files) == 0 {
		if err = db.firstKeys(ctx, pool, cfg.Key, now); err == nil {
			rows, err = readKeys(ctx, pool)
		}
	}
	if err != nil {
		return err
	}
	db.vault, err = vault.Open(rows, vault.Config{
		Key: cfg.Key, ReadKey: cfg.ReadKey, Records: keyRecords{db}, Log: cfg.Log, Longest: longestVerification,
	}, now)
	if err == nil {
		db.seal = db.vault.Sealer()
	}
	return err
}

// firstKeys makes the keys of a database without any. Concurrent first starts agree on one
// set: the schema lock excludes them on PostgreSQL, the write lock on SQLite.
func (db *DB) firstKeys(ctx context.Context, pool *sql.DB, file vault.Key, now time.Time) (err error) {
	unlock, err := db.at.LockSchema(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, db.dialect.Begin); err != nil {
		return err
	}
	err = insertFirstKeys(ctx, conn, file, now)
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	_, endErr := conn.ExecContext(context.WithoutCancel(ctx), end)
	return errors.Join(err, endErr)
}

func insertFirstKeys(ctx context.Context, conn *sql.Conn, file vault.Key, now time.Time) error {
	rows, err := readKeys(ctx, conn)
	if err != nil || len(rows.Files) > 0 {
		return err
	}
	exec := func(query string, args ...any) error {
		_, err := conn.ExecContext(ctx, query, args...)
		return err
	}
	first := vault.Create(file, now)
	if err := saveKeys(exec, vault.Rows{}, first); err != nil {
		return err
	}
	return exec(`INSERT INTO settings (name, value) VALUES ($1, $2)`, keyCheck, first.Check)
}

// selectKeys reads all keys in one statement, and therefore in one snapshot. It returns the
// key check and, with an empty purpose, the key files by creation; then the data keys by
// id.
const selectKeys = `SELECT 0 AS id, '' AS purpose, fingerprint, master AS sealed, created_at, used_at FROM key_files
	UNION ALL SELECT 0, '` + keyCheck + `', NULL, value, 0, 0 FROM settings WHERE name = '` + keyCheck + `'
	UNION ALL SELECT id, purpose, NULL, sealed, created_at, 0 FROM data_keys
	ORDER BY 1, 5, 3`

// readKeys reads all keys from a pool or a connection.
func readKeys(ctx context.Context, from interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
},
) (vault.Rows, error) {
	rows, err := from.QueryContext(ctx, selectKeys) //nolint:rowserrcheck // scanKeys checks it
	if err != nil {
		return vault.Rows{}, fmt.Errorf("read keys: %w", err)
	}
	return scanKeys(rows)
}

// scanKeys reads and closes the result of selectKeys.
func scanKeys(from driver.Rows) (keys vault.Rows, err error) {
	defer func() {
		if err = cmp.Or(err, from.Err()); err != nil {
			err = fmt.Errorf("read keys: %w", err)
		}
		from.Close()
	}()
	for from.Next() {
		var id, created, used int64
		var purpose string
		var fingerprint, sealed []byte
		if err := from.Scan(&id, &purpose, &fingerprint, &sealed, &created, &used); err != nil {
			return keys, err
		}
		switch purpose {
		case "":
			f := vault.FileRow{Fingerprint: fingerprint, Master: sealed, CreatedAt: fromMillis(created)}
			if used > 0 {
				f.UsedAt = fromMillis(used)
			}
			keys.Files = append(keys.Files, f)
		case keyCheck:
			keys.Check = sealed
		default:
			keys.DataKeys = append(keys.DataKeys, vault.DataKeyRow{
				ID: id, Purpose: vault.Purpose(purpose), Sealed: sealed, CreatedAt: fromMillis(created),
			})
		}
	}
	return keys, nil
}

// keyRecords is the database as the vault uses it.
type keyRecords struct{ db *DB }

func (r keyRecords) ReadKeys(ctx context.Context) (vault.Rows, error) {
	found, err := r.db.engine.Keys().Query(ctx, selectKeys)
	if err != nil {
		return vault.Rows{}, fmt.Errorf("read keys: %w", r.db.engine.Note(err))
	}
	keys, err := scanKeys(found)
	return keys, r.db.engine.Note(err)
}

func (r keyRecords) ChangeKeys(ctx context.Context, change func(vault.Rows) (vault.Rows, error)) error {
	return r.db.Write(ctx, Scope{}, func(tx *Tx) error {
		locked, err := tx.query(`SELECT fingerprint FROM key_files ORDER BY created_at, fingerprint` + tx.dialect.Lock)
		if err != nil {
			return err
		}
		if err := cmp.Or(locked.Close(), locked.Err()); err != nil {
			return err
		}
		rows, err := tx.query(selectKeys)
		if err != nil {
			return err
		}
		was, err := scanKeys(rows)
		if err != nil {
			return err
		}
		next, err := change(was)
		if err != nil {
			return err
		}
		return saveKeys(tx.send, was, next)
	})
}

// saveKeys writes the difference between the stored keys and the next ones.
func saveKeys(exec func(query string, args ...any) error, was, next vault.Rows) error {
	files, keys := map[string]vault.FileRow{}, map[int64]vault.DataKeyRow{}
	for _, f := range was.Files {
		files[string(f.Fingerprint)] = f
	}
	for _, k := range was.DataKeys {
		keys[k.ID] = k
	}
	var errs []error
	for _, f := range next.Files {
		old, ok := files[string(f.Fingerprint)]
		delete(files, string(f.Fingerprint))
		if ok && bytes.Equal(old.Master, f.Master) && old.UsedAt.Equal(f.UsedAt) {
			continue
		}
		var used int64
		if !f.UsedAt.IsZero() {
			used = millis(f.UsedAt)
		}
		errs = append(errs, exec(`INSERT INTO key_files (fingerprint, master, created_at, used_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (fingerprint) DO UPDATE SET master = excluded.master, used_at = excluded.used_at`,
			f.Fingerprint, f.Master, millis(f.CreatedAt), used))
	}
	for _, k := range next.DataKeys {
		old, ok := keys[k.ID]
		delete(keys, k.ID)
		if ok && bytes.Equal(old.Sealed, k.Sealed) {
			continue
		}
		errs = append(errs, exec(`INSERT INTO data_keys (id, purpose, sealed, created_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`, k.ID, string(k.Purpose), k.Sealed, millis(k.CreatedAt)))
	}
	for _, f := range files {
		errs = append(errs, exec(`DELETE FROM key_files WHERE fingerprint = $1`, f.Fingerprint))
	}
	for id := range keys {
		errs = append(errs, exec(`DELETE FROM data_keys WHERE id = $1`, id))
	}
	return errors.Join(errs...)
}

func (r keyRecords) SealedBefore(ctx context.Context, p vault.Purpose, t, now time.Time) (bool, error) {
	sealed, err := r.db.exists(ctx, `SELECT 1 FROM verifications WHERE status = 'IN PROGRESS' AND (submitted_at < $1 OR submitted_at > $2) LIMIT 1`,
		millis(t), latest(now))
	if err == nil && !sealed && p == vault.ForCode { // codes that have not moved to the archive
		sealed, err = r.db.exists(ctx, `SELECT 1 FROM verifications WHERE finalized_at < $1 AND submitted_at < $2 LIMIT 1`,
			millis(t.Add(longestVerification)), millis(t))
	}
	return sealed, err
}
