package store

import (
	"cmp"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/verify"
)

// purpose is what a data key is for.
type purpose string

const (
	forAccount purpose = "account" // signature secrets; lasts
	forSecret  purpose = "secret"  // the hash of API secrets; lasts
	forPIN     purpose = "pin"
	forCode    purpose = "code" // that somebody typed: kept for longer than a PIN
)

// errNoKeys is wrapped where data keys could not be read. A later try may succeed.
var errNoKeys = errors.New("data keys cannot be read")

// dataKey is a key that lies in the database, sealed.
type dataKey struct {
	id        int64
	purpose   purpose
	createdAt time.Time
	raw       Key
	aead      cipher.AEAD
}

func newDataKey(id int64, p purpose, raw Key, createdAt time.Time) *dataKey {
	return &dataKey{id, p, createdAt, raw, newAEAD(raw[:])}
}

// context binds a sealed data key to its row.
func (k *dataKey) context() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(k.id)), k.purpose...)
}

func (k *dataKey) sealUnder(master Key) []byte {
	return newAEAD(master[:]).Seal(nil, nil, k.raw[:], k.context())
}

// open opens the key of a row that was read but for it.
func (k *dataKey) open(sealed []byte, master Key) error {
	raw, err := newAEAD(master[:]).Open(nil, nil, sealed, k.context())
	if err != nil || len(raw) != len(k.raw) {
		return fmt.Errorf("data key %d: %w", k.id, ErrKey)
	}
	*k = *newDataKey(k.id, k.purpose, Key(raw), k.createdAt)
	return nil
}

// keyring holds the data keys of this process as the database has them. Who seals
// finds the newest here; who opens what another node has sealed under a newer one
// has them read again.
type keyring struct {
	keys    atomic.Pointer[keySet]
	reading sync.Mutex // held by who has them read
	read    func() (*keySet, error)
	asOf    atomic.Int64 // last known time in milliseconds, at most a minute old: decides which keys are from the future
}

// keySet does not change.
type keySet struct {
	byID   map[int64]*dataKey
	newest map[purpose]*dataKey // keys to seal with
}

// newKeySet chooses, for each purpose, the key to seal with at now. A key from the
// future still opens, but seals only where there is no other.
func newKeySet(list []*dataKey, now time.Time) *keySet {
	set := &keySet{map[int64]*dataKey{}, map[purpose]*dataKey{}}
	for _, k := range list {
		set.byID[k.id] = k
		if n := set.newest[k.purpose]; n == nil || n.before(k, now) {
			set.newest[k.purpose] = k
		}
	}
	return set
}

// fromFuture reports whether a clock that was ahead made the key. Keys that last never
// are: there is no other.
func (k *dataKey) fromFuture(now time.Time) bool {
	return (k.purpose == forPIN || k.purpose == forCode) && verify.FromFuture(k.createdAt, now)
}

// before reports whether other is to be preferred to k for sealing. The id decides
// where times are equal and among keys from the future, since it grows with every key.
func (k *dataKey) before(other *dataKey, now time.Time) bool {
	future, otherFuture := k.fromFuture(now), other.fromFuture(now)
	switch {
	case future != otherFuture:
		return future
	case future || k.createdAt.Equal(other.createdAt):
		return k.id < other.id
	}
	return k.createdAt.Before(other.createdAt)
}

// replacedAt returns the time after which k sealed nothing, apart from dataKeyLag: that
// of the next key of its purpose. ok is false while k is in use. A key from the future
// was replaced at the latest by the first key made after it with a right clock.
func (s *keySet) replacedAt(k *dataKey, now time.Time) (at time.Time, ok bool) {
	if k == s.newest[k.purpose] {
		return at, false
	}
	for _, next := range s.of(k.purpose) {
		later := k.before(next, now)
		if k.fromFuture(now) {
			later = next.id > k.id
		}
		if later && !next.fromFuture(now) && (!ok || next.createdAt.Before(at)) {
			at, ok = next.createdAt, true
		}
	}
	return at, ok
}

// sorted lists the keys by id, which is the order in which they were made.
func (s *keySet) sorted() []*dataKey {
	return slices.SortedFunc(maps.Values(s.byID), func(a, b *dataKey) int { return cmp.Compare(a.id, b.id) })
}

// of lists the keys of a purpose by id.
func (s *keySet) of(p purpose) []*dataKey {
	return slices.DeleteFunc(s.sorted(), func(k *dataKey) bool { return k.purpose != p })
}

// current is the key to seal with.
func (r *keyring) current(p purpose) *dataKey { return r.keys.Load().newest[p] }

// at returns the key that sealed at a time: the newest that existed then, or the current
// one. A value that is sealed again keeps its key, and so its lifetime.
func (r *keyring) at(p purpose, t time.Time) *dataKey {
	set := r.keys.Load()
	used := set.newest[p]
	if !t.Before(used.createdAt) {
		return used
	}
	var found *dataKey
	for _, k := range set.byID {
		if k.purpose == p && !k.createdAt.After(t) && (found == nil || found.createdAt.Before(k.createdAt)) {
			found = k
		}
	}
	if found == nil {
		return used
	}
	return found
}

// find is the key with an id. One that is not known is new, or was destroyed: one
// look at the database tells.
func (r *keyring) find(id int64) (*dataKey, error) {
	before := r.keys.Load()
	if k := before.byID[id]; k != nil {
		return k, nil
	}
	set, err := r.readAfter(before)
	if err != nil {
		return nil, fmt.Errorf("data key %d: %w: %w", id, errNoKeys, err)
	}
	if k := set.byID[id]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("data key %d: %w", id, errDestroyed)
}

// readAfter has the keys read, unless somebody else did since before.
func (r *keyring) readAfter(before *keySet) (*keySet, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	if set := r.keys.Load(); set != before {
		return set, nil
	}
	set, err := r.read()
	if err != nil {
		return nil, err
	}
	r.keys.Store(set)
	return set, nil
}

// querier is what reads keys: a pool, or a connection in a transaction.
type querier interface {
	query(ctx context.Context, text string, args ...any) (rows, error)
}

// readKeys reads all data keys with the key of a file. It returns ErrKey when that
// opens nothing.
func readKeys(ctx context.Context, from querier, file Key, now time.Time) (*keySet, error) {
	rows, err := from.query(ctx, `SELECT d.id, d.purpose, d.sealed, d.created_at, f.master
		FROM key_files f, data_keys d WHERE f.fingerprint = $1`, file.fingerprint())
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer rows.Close()
	var list []*dataKey
	for rows.Next() {
		var k dataKey
		var sealed, sealedMaster []byte
		var created int64
		if err := rows.Scan(&k.id, &k.purpose, &sealed, &created, &sealedMaster); err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		master, err := file.openMaster(sealedMaster)
		if err != nil {
			return nil, err
		}
		k.createdAt = fromMillis(created)
		if err := k.open(sealed, master); err != nil {
			return nil, err
		}
		list = append(list, &k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	set := newKeySet(list, now)
	for _, p := range []purpose{forAccount, forSecret, forPIN, forCode} {
		if set.newest[p] == nil {
			return nil, ErrKey
		}
	}
	return set, nil
}
