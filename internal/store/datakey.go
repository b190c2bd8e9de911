package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	// dataKeyLag is for how long a node may seal with a data key when there is a newer
	// one already: it hears of that within a minute (RefreshKeys), or when it next
	// opens what others have sealed.
	dataKeyLag = time.Hour
	// longestVerification is from the start of a verification to its end at most: of
	// all that one may ask for, and a margin.
	longestVerification = 6 * time.Hour
	// keyReadTime bounds how long keys are read.
	keyReadTime = 8 * time.Second
)

// readKeys reads the data keys as they are. A process whose key file was replaced
// meanwhile looks whether the new one is in its place.
func (db *DB) readKeys() (*keySet, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyReadTime)
	defer cancel()
	now := fromMillis(db.seal.data.asOf.Load())
	set, err := readKeys(ctx, db.keys, *db.file.Load(), now)
	if errors.Is(err, ErrKey) {
		if again := db.rereadKeyFile(ctx); again != nil {
			return nil, errors.Join(err, again)
		}
		set, err = readKeys(ctx, db.keys, *db.file.Load(), now)
	}
	return set, db.outage.note(err)
}

// rereadKeyFile takes up a key file that was replaced, if the new one opens the
// database.
func (db *DB) rereadKeyFile(ctx context.Context) error {
	if db.readKey == nil {
		return nil
	}
	file, err := db.readKey()
	switch {
	case errors.Is(err, fs.ErrNotExist): // it is just being replaced, or was taken away after the start
		return nil
	case err != nil || file == *db.file.Load():
		return err
	}
	if _, err := readKeys(ctx, db.keys, file, fromMillis(db.seal.data.asOf.Load())); err != nil {
		return fmt.Errorf("the key file has changed: %w", err)
	}
	db.file.Store(&file)
	db.log.Info("key file replaced", "fingerprint", file.Fingerprint())
	return nil
}

// RefreshKeys keeps the data keys as they should be: it takes up a key file that was
// replaced, and data keys that others have made; makes those of a new day (UTC),
// unless another node was faster; and, while the key file is being replaced, says
// which this server has. It is to be called every minute or so.
func (db *DB) RefreshKeys(ctx context.Context, now time.Time) error {
	errs := []error{db.rereadKeyFile(ctx)}
	ring := &db.seal.data
	ring.asOf.Store(millis(now))
	set, err := ring.readAfter(ring.keys.Load())
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("refresh keys: %w", err))...)
	}
	if stale(set.newest[forPIN], now) || stale(set.newest[forCode], now) {
		errs = append(errs, db.newDataKeys(ctx, now, stale))
	}
	var files int
	if err := db.queryRow(ctx, `SELECT COUNT(*) FROM key_files`, nil, &files); err != nil {
		errs = append(errs, fmt.Errorf("refresh keys: %w", err))
	}
	if files > 1 {
		err := db.Write(ctx, Scope{}, func(tx *Tx) error {
			return tx.send(`UPDATE key_files SET used_at = $1 WHERE fingerprint = $2`, millis(now), db.file.Load().fingerprint())
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("refresh keys: %w", err))
		}
	}
	return errors.Join(errs...)
}

// stale reports whether a data key was not made on the day (UTC) of now.
func stale(k *dataKey, now time.Time) bool {
	const day = 24 * time.Hour
	return k.fromFuture(now) || k.createdAt.Truncate(day).Before(now.Truncate(day))
}

// NewDataKeys makes fresh data keys at once. Other nodes seal with them within a
// minute.
func (db *DB) NewDataKeys(ctx context.Context, now time.Time) error {
	return db.newDataKeys(ctx, now, func(*dataKey, time.Time) bool { return true })
}

// newDataKeys makes a data key for PINs, and one for codes, in place of a newest that
// is not good enough.
func (db *DB) newDataKeys(ctx context.Context, now time.Time, bad func(*dataKey, time.Time) bool) error {
	db.seal.data.asOf.Store(millis(now))
	before := db.seal.data.keys.Load()
	err := db.Write(ctx, Scope{}, func(tx *Tx) error {
		files, err := tx.lockKeyFiles()
		if err != nil {
			return err
		}
		top, err := master(files, *db.file.Load())
		if err != nil {
			return err
		}
		keys, _, err := tx.dataKeys() // another node may have been faster
		if err != nil || len(keys) == 0 {
			return errors.Join(err, ErrKey)
		}
		newest, id := newKeySet(keys, now).newest, keys[len(keys)-1].id
		for _, p := range []purpose{forPIN, forCode} {
			if !bad(newest[p], now) {
				continue
			}
			id++
			made := now
			if old := newest[p]; !old.fromFuture(now) && !old.createdAt.Before(now) { // a clock a little ahead made the newest key
				made = old.createdAt.Add(time.Millisecond)
			}
			k := newDataKey(id, p, NewKey(), made)
			if err := tx.send(insertDataKey, k.id, string(p), k.sealUnder(top), millis(made)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		_, err = db.seal.data.readAfter(before)
	}
	if err != nil {
		return fmt.Errorf("make data keys: %w", err)
	}
	return nil
}

// DestroyDataKeys deletes the data keys that nothing needs any more: those of PINs,
// when no verification runs that is older than the next key; those of codes, when
// they have been kept for as long as told after the end (0 is for ever). What they
// sealed is then lost wherever a copy of it may lie. It reports how many.
func (db *DB) DestroyDataKeys(ctx context.Context, now time.Time, codes time.Duration) (destroyed int, err error) {
	var gone []int64
	for _, p := range []purpose{forPIN, forCode} {
		ids, err := db.needless(ctx, p, now, codes)
		if err != nil {
			return 0, fmt.Errorf("destroy data keys: %w", err)
		}
		gone = append(gone, ids...)
	}
	if len(gone) == 0 {
		return 0, nil
	}
	before := db.seal.data.keys.Load()
	err = db.Write(ctx, Scope{}, func(tx *Tx) error {
		destroyed = 0
		for _, id := range gone {
			n, err := tx.exec(`DELETE FROM data_keys WHERE id = $1`, id)
			if err != nil {
				return err
			}
			destroyed += int(n)
		}
		return nil
	})
	if err == nil {
		_, err = db.seal.data.readAfter(before)
	}
	if err != nil {
		return 0, fmt.Errorf("destroy data keys: %w", err)
	}
	return destroyed, nil
}

// needless lists the data keys of a purpose that nothing needs, by what this node
// knew when it last looked.
func (db *DB) needless(ctx context.Context, p purpose, now time.Time, codes time.Duration) (ids []int64, err error) {
	if p == forCode && codes == 0 {
		return nil, nil
	}
	set := db.seal.data.keys.Load()
	for _, k := range set.of(p) {
		replaced, ok := set.replacedAt(k, now)
		unused := replaced.Add(dataKeyLag) // verifications started after that use the next key
		if !ok || now.Before(unused) || p == forCode && now.Before(unused.Add(longestVerification+codes)) {
			continue
		}
		needed, err := db.exists(ctx, `SELECT 1 FROM verifications WHERE status = 'IN PROGRESS' AND (submitted_at < $1 OR submitted_at > $2) LIMIT 1`,
			millis(unused), latest(now))
		if err == nil && !needed && p == forCode { // what has not moved to the archive yet
			needed, err = db.exists(ctx, `SELECT 1 FROM verifications WHERE finalized_at < $1 AND submitted_at < $2 LIMIT 1`,
				millis(unused.Add(longestVerification)), millis(unused))
		}
		if err != nil {
			return nil, err
		}
		if !needed {
			ids = append(ids, k.id)
		}
	}
	return ids, nil
}
