// Package vault manages the keys of an installation. It seals PINs, submitted codes and
// signature secrets, and hashes API secrets and phone numbers.
//
// The keys form a hierarchy. A key file ([Key]), outside the database, seals the master key.
// The master key seals the data keys, and a data key seals values ([Sealer]). Master key and
// data keys are in the database, as [Rows]. Data keys of PINs and codes are replaced every day
// and destroyed after their last value, which makes copies of such values unreadable. Each
// change of the key file replaces the master key.
//
// A rotation is a function from Rows to Rows. A database that implements [Records] stores its
// result in one transaction.
//
// The package must not know SQL, HTTP or the rules of a verification.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"
)

// Records stores the rows of a vault in a database.
type Records interface {
	// ReadKeys returns all rows, as of one moment.
	ReadKeys(ctx context.Context) (Rows, error)

	// ChangeKeys passes the rows to change and stores its result in the same transaction,
	// which excludes other changes of keys. It may call change again after a rollback, and
	// returns after the result is durable.
	ChangeKeys(ctx context.Context, change func(Rows) (Rows, error)) error

	// SealedBefore reports whether a value of the purpose (ForPIN or ForCode) may remain that
	// was sealed before t. Values from the future of now count as sealed before t.
	SealedBefore(ctx context.Context, p Purpose, t, now time.Time) (bool, error)
}

// Config describes a [Vault].
type Config struct {
	Key Key // content of the key file
	// ReadKey reads the key file again, so that a replaced file takes effect without a
	// restart. nil means that a replacement needs a restart.
	ReadKey func() (Key, error)
	Records Records
	Log     *slog.Logger // required if ReadKey is not nil

	// Longest is the longest time from the start of a verification to its end.
	Longest time.Duration
}

// Vault is the keys of a database, as one process has them. It is safe for concurrent use.
type Vault struct {
	file    atomic.Pointer[Key]
	readKey func() (Key, error)
	records Records
	sealer  *Sealer
	log     *slog.Logger
	longest time.Duration
}

const (
	// lag is the time for which a node may still seal with a replaced data key. A node uses a
	// new key after its next Refresh, or after it opens a value that was sealed with the key.
	lag = time.Hour
	// readTime bounds a read of the keys.
	readTime = 8 * time.Second
)

// Open opens rows with the key of c. now decides which data keys are from the future. Its
// error wraps [ErrKey] if the key does not open the rows.
func Open(rows Rows, c Config, now time.Time) (*Vault, error) {
	ring, err := rows.open(c.Key, now)
	if err != nil {
		return nil, err
	}
	v := &Vault{readKey: c.ReadKey, records: c.Records, sealer: newSealer(ring), log: c.Log, longest: c.Longest}
	v.file.Store(&c.Key)
	v.sealer.data.read = v.read
	v.sealer.data.asOf.Store(now.UnixMilli())
	if _, err := v.sealer.OpenSecret(rows.Check, keyCheck); err != nil || rows.Check == nil {
		return nil, ErrKey
	}
	return v, nil
}

// Sealer returns the sealer of the vault, which always uses its current keys.
func (v *Vault) Sealer() *Sealer { return v.sealer }

func (v *Vault) key() Key { return *v.file.Load() }

// read reads the data keys. If the key file does not open them, read looks for a replaced
// key file.
func (v *Vault) read() (*keyring, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	ring, err := v.readWith(ctx, v.key())
	if errors.Is(err, ErrKey) {
		if again := v.reloadFile(ctx); again != nil {
			return nil, errors.Join(err, again)
		}
		ring, err = v.readWith(ctx, v.key())
	}
	return ring, err
}

func (v *Vault) readWith(ctx context.Context, file Key) (*keyring, error) {
	rows, err := v.records.ReadKeys(ctx)
	if err != nil {
		return nil, err
	}
	return rows.open(file, v.sealer.data.now())
}

// reloadFile uses the content of a replaced key file if it opens the database.
func (v *Vault) reloadFile(ctx context.Context) error {
	if v.readKey == nil {
		return nil
	}
	file, err := v.readKey()
	switch {
	case errors.Is(err, fs.ErrNotExist): // during its replacement, or removed after the start
		return nil
	case err != nil || file == v.key():
		return err
	}
	if _, err := v.readWith(ctx, file); err != nil {
		return fmt.Errorf("the key file has changed: %w", err)
	}
	v.file.Store(&file)
	v.log.Info("key file replaced", "fingerprint", file.Fingerprint())
	return nil
}

// Refresh brings the keys of the process up to date. It uses a replaced key file and the data
// keys of other nodes. It makes the data keys of a new day (UTC) unless another node has. While
// there are two key files, it reports the file of the process. Call it every minute.
func (v *Vault) Refresh(ctx context.Context, now time.Time) error {
	errs := []error{v.reloadFile(ctx)}
	v.sealer.data.asOf.Store(now.UnixMilli())
	ring, err := v.sealer.data.reread()
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("refresh keys: %w", err))...)
	}
	if ring.newest[ForPIN].stale(now) || ring.newest[ForCode].stale(now) {
		errs = append(errs, v.newDataKeys(ctx, now, (*dataKey).stale))
	}
	if len(ring.files) > 1 {
		ours := v.key()
		err := v.records.ChangeKeys(ctx, func(r Rows) (Rows, error) { return r.withUse(ours, now), nil })
		if err != nil {
			errs = append(errs, fmt.Errorf("refresh keys: %w", err))
		}
	}
	return errors.Join(errs...)
}

// NewDataKeys makes new data keys for PINs and codes. Other nodes use them within a minute.
func (v *Vault) NewDataKeys(ctx context.Context, now time.Time) error {
	return v.newDataKeys(ctx, now, func(*dataKey, time.Time) bool { return true })
}

// newDataKeys replaces the data keys in use for which replace returns true.
func (v *Vault) newDataKeys(ctx context.Context, now time.Time, replace func(*dataKey, time.Time) bool) error {
	v.sealer.data.asOf.Store(now.UnixMilli())
	before, file := v.sealer.data.keys.Load(), v.key()
	err := v.records.ChangeKeys(ctx, func(r Rows) (Rows, error) { return r.withNewDataKeys(file, now, replace) })
	if err == nil {
		_, err = v.sealer.data.readAfter(before)
	}
	if err != nil {
		return fmt.Errorf("make data keys: %w", err)
	}
	return nil
}

// AddKeyFile adds a second key file that opens the database, to replace the present one. After
// all servers have the new file, FinishKeyFile removes the old one. Its error wraps
// [ErrRotating] or [ErrSameKey].
func (v *Vault) AddKeyFile(ctx context.Context, next Key, now time.Time) error {
	ours := v.key()
	err := v.records.ChangeKeys(ctx, func(r Rows) (Rows, error) { return r.withFile(ours, next, now) })
	if err != nil {
		return fmt.Errorf("add key file: %w", err)
	}
	return nil
}

// FinishKeyFile removes the key file that AddKeyFile was called to replace. Its error wraps
// [ErrNotRotating]; [ErrOtherKey] if the process does not have the new file; or [ErrKeyInUse]
// if a server may still have the old one, unless force is true.
func (v *Vault) FinishKeyFile(ctx context.Context, now time.Time, force bool) error {
	return v.removeKeyFile(ctx, older, now, force)
}

// AbortKeyFile removes the key file that AddKeyFile added. It returns the errors of
// FinishKeyFile, with the files exchanged.
func (v *Vault) AbortKeyFile(ctx context.Context, now time.Time, force bool) error {
	return v.removeKeyFile(ctx, newer, now, force)
}

func (v *Vault) removeKeyFile(ctx context.Context, which int, now time.Time, force bool) error {
	ours := v.key()
	err := v.records.ChangeKeys(ctx, func(r Rows) (Rows, error) { return r.withoutFile(which, ours, now, force) })
	if err != nil {
		return fmt.Errorf("remove key file: %w", err)
	}
	return nil
}

// DestroyDataKeys deletes the data keys that no stored value needs, and returns their number.
// A key of PINs is needed until all its verifications have ended. A key of codes is needed for
// the time codes after that; 0 means forever. Every copy of a value of a destroyed key is
// unreadable.
func (v *Vault) DestroyDataKeys(ctx context.Context, now time.Time, codes time.Duration) (destroyed int, err error) {
	var gone []int64
	for _, p := range []Purpose{ForPIN, ForCode} {
		ids, err := v.unneeded(ctx, p, now, codes)
		if err != nil {
			return 0, fmt.Errorf("destroy data keys: %w", err)
		}
		gone = append(gone, ids...)
	}
	if len(gone) == 0 {
		return 0, nil
	}
	before := v.sealer.data.keys.Load()
	err = v.records.ChangeKeys(ctx, func(r Rows) (Rows, error) {
		left := r.withoutDataKeys(gone)
		destroyed = len(r.DataKeys) - len(left.DataKeys)
		return left, nil
	})
	if err == nil {
		_, err = v.sealer.data.readAfter(before)
	}
	if err != nil {
		return 0, fmt.Errorf("destroy data keys: %w", err)
	}
	return destroyed, nil
}

// unneeded returns the ids of the data keys of a purpose that no stored value needs.
func (v *Vault) unneeded(ctx context.Context, p Purpose, now time.Time, codes time.Duration) (ids []int64, err error) {
	if p == ForCode && codes == 0 {
		return nil, nil
	}
	ring := v.sealer.data.keys.Load()
	for _, k := range ring.of(p) {
		replaced, ok := ring.replacedAt(k, now)
		unused := replaced.Add(lag) // verifications started after that use the next key
		if !ok || now.Before(unused) || p == ForCode && now.Before(unused.Add(v.longest+codes)) {
			continue
		}
		sealed, err := v.records.SealedBefore(ctx, p, unused, now)
		if err != nil {
			return nil, err
		}
		if !sealed {
			ids = append(ids, k.id)
		}
	}
	return ids, nil
}
