package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/verify"
)

// Rows are the keys of a database as it stores them. Times are whole milliseconds.
type Rows struct {
	Files    []FileRow    // in the order of creation; two during a replacement, otherwise one
	DataKeys []DataKeyRow // in the order of ids
	Check    []byte       // sealed constant that only the right keys open; different in each installation
}

// FileRow is the row of a key file.
type FileRow struct {
	Fingerprint []byte
	Master      []byte // master key, sealed with the key file
	CreatedAt   time.Time
	UsedAt      time.Time // last report of a server that has the file; zero means never
}

// DataKeyRow is the row of a data key.
type DataKeyRow struct {
	ID        int64
	Purpose   Purpose
	Sealed    []byte // data key, sealed with the master key
	CreatedAt time.Time
}

// Errors of a replacement of the key file.
var (
	ErrRotating    = errors.New("a replacement of the key file is in progress; finish or abort it first")
	ErrNotRotating = errors.New("no key file is being replaced")
	ErrSameKey     = errors.New("the key file already opens the database; choose another file")
	ErrOtherKey    = errors.New("key_file is the one being removed; install the other key file first")
	ErrKeyInUse    = errors.New("the key file may still be in use")
)

// fileRest is the time without a report of a server (see Vault.Refresh) after which a key file
// may be removed.
const fileRest = 3 * time.Minute

// Indexes of the two key files of a replacement.
const (
	older = 0
	newer = 1
)

// keyCheck is the content and the associated data of Rows.Check.
const keyCheck = "key_check"

// Create returns the rows of a new database, which a key file opens.
func Create(file Key, now time.Time) Rows {
	now = now.UTC().Truncate(time.Millisecond)
	master := NewKey()
	r := Rows{Files: []FileRow{{Fingerprint: file.fingerprint(), Master: file.sealMaster(master), CreatedAt: now}}}
	var keys []*dataKey
	for i, p := range purposes() {
		keys = append(keys, newDataKey(int64(i+1), p, NewKey(), now))
		r.DataKeys = append(r.DataKeys, keys[i].row(master))
	}
	r.Check = newSealer(newKeyring(keys, now)).SealSecret(keyCheck, keyCheck)
	return r
}

func purposes() []Purpose { return []Purpose{ForAccount, ForSecret, ForPIN, ForCode} }

// file returns the index of a key file; -1 if the rows do not have it.
func (r Rows) file(file Key) int {
	fingerprint := file.fingerprint()
	return slices.IndexFunc(r.Files, func(f FileRow) bool { return bytes.Equal(f.Fingerprint, fingerprint) })
}

// master opens the master key. It returns ErrKey if file is not one of the key files.
func (r Rows) master(file Key) (Key, error) {
	i := r.file(file)
	if i < 0 {
		return Key{}, ErrKey
	}
	return file.openMaster(r.Files[i].Master)
}

// open opens all data keys. It returns ErrKey if file does not open them or a purpose lacks
// a key.
func (r Rows) open(file Key, now time.Time) (*keyring, error) {
	master, err := r.master(file)
	if err != nil {
		return nil, err
	}
	list := make([]*dataKey, len(r.DataKeys))
	for i, row := range r.DataKeys {
		if list[i], err = row.open(master); err != nil {
			return nil, err
		}
	}
	ring := newKeyring(list, now)
	ring.files = r.Files
	for _, p := range purposes() {
		if ring.newest[p] == nil {
			return nil, ErrKey
		}
	}
	return ring, nil
}

// clone returns a copy that the caller may change.
func (r Rows) clone() Rows {
	r.Files, r.DataKeys = slices.Clone(r.Files), slices.Clone(r.DataKeys)
	return r
}

// withUse records that a server has a key file at now.
func (r Rows) withUse(file Key, now time.Time) Rows {
	r = r.clone()
	if i := r.file(file); i >= 0 {
		r.Files[i].UsedAt = now.UTC().Truncate(time.Millisecond)
	}
	return r
}

// withFile adds the key file next.
func (r Rows) withFile(ours, next Key, now time.Time) (Rows, error) {
	switch {
	case len(r.Files) > 1:
		return r, ErrRotating
	case ours == next:
		return r, ErrSameKey
	case r.file(ours) < 0:
		return r, ErrKey
	}
	was := r
	r = r.withUse(ours, now)
	made := now.UTC().Truncate(time.Millisecond)
	if first := r.Files[older].CreatedAt; !made.After(first) { // the clock was set back
		made = first.Add(time.Millisecond)
	}
	r.Files = append(r.Files, FileRow{Fingerprint: next.fingerprint(), CreatedAt: made})
	return r.reseal(was, ours, next)
}

// withoutFile removes one of two key files.
func (r Rows) withoutFile(which int, ours Key, now time.Time, force bool) (Rows, error) {
	if len(r.Files) < 2 {
		return r, ErrNotRotating
	}
	was, gone := r, r.Files[which]
	if bytes.Equal(gone.Fingerprint, ours.fingerprint()) {
		return r, ErrOtherKey
	}
	used := gone.UsedAt
	if free := used.Add(fileRest); now.Before(free) && !verify.FromFuture(used, now) && !force {
		return r, fmt.Errorf("%w: last used by a server at %s; retry after %s", ErrKeyInUse,
			used.Format(time.RFC3339), free.Format(time.RFC3339))
	}
	r = r.clone()
	r.Files = slices.Delete(r.Files, which, which+1)
	return r.reseal(was, ours)
}

// reseal replaces the master key of was. The given files open the new one. A removed file
// therefore opens no later copy of the database, and a new file no earlier copy.
func (r Rows) reseal(was Rows, files ...Key) (Rows, error) {
	master, err := was.master(files[0])
	if err != nil {
		return was, err
	}
	next := NewKey()
	for i, row := range r.DataKeys {
		k, err := row.open(master)
		if err != nil {
			return was, err
		}
		r.DataKeys[i] = k.row(next)
	}
	for _, file := range files {
		r.Files[r.file(file)].Master = file.sealMaster(next)
	}
	return r, nil
}

// stale reports whether k was not made on the day (UTC) of now.
func (k *dataKey) stale(now time.Time) bool {
	const day = 24 * time.Hour
	return k.fromFuture(now) || k.createdAt.Truncate(day).Before(now.Truncate(day))
}

// withNewDataKeys adds a data key for PINs, for codes, or both: for each purpose for which
// replace returns true for the key in use.
func (r Rows) withNewDataKeys(file Key, now time.Time, replace func(*dataKey, time.Time) bool) (Rows, error) {
	master, err := r.master(file)
	if err != nil {
		return r, err
	}
	ring, err := r.open(file, now)
	if err != nil {
		return r, err
	}
	r = r.clone()
	id := r.DataKeys[len(r.DataKeys)-1].ID
	for _, p := range []Purpose{ForPIN, ForCode} {
		old := ring.newest[p]
		if !replace(old, now) {
			continue
		}
		id++
		made := now.UTC().Truncate(time.Millisecond)
		if !old.fromFuture(now) && !old.createdAt.Before(made) { // made by a clock that is slightly ahead
			made = old.createdAt.Add(time.Millisecond)
		}
		r.DataKeys = append(r.DataKeys, newDataKey(id, p, NewKey(), made).row(master))
	}
	return r, nil
}

// withoutDataKeys removes the data keys with the given ids.
func (r Rows) withoutDataKeys(ids []int64) Rows {
	r = r.clone()
	r.DataKeys = slices.DeleteFunc(r.DataKeys, func(k DataKeyRow) bool { return slices.Contains(ids, k.ID) })
	return r
}
