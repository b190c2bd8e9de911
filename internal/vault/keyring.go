package vault

import (
	"cmp"
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

// Purpose is the use of a data key.
type Purpose string

// The purposes. Keys of PINs and codes are replaced every day, the others never.
const (
	ForAccount Purpose = "account" // signature secrets
	ForSecret  Purpose = "secret"  // hash of API secrets
	ForPIN     Purpose = "pin"
	ForCode    Purpose = "code" // submitted codes, kept longer than PINs
)

// ErrUnavailable indicates that the data keys could not be read. A later attempt may succeed.
var ErrUnavailable = errors.New("data keys cannot be read")

// dataKey is an open data key.
type dataKey struct {
	id        int64
	purpose   Purpose
	createdAt time.Time
	raw       Key
	aead      cipher.AEAD
}

func newDataKey(id int64, p Purpose, raw Key, createdAt time.Time) *dataKey {
	return &dataKey{id, p, createdAt, raw, newAEAD(raw[:])}
}

// place returns the associated data of a sealed data key.
func (r DataKeyRow) place() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(r.ID)), r.Purpose...)
}

func (r DataKeyRow) open(master Key) (*dataKey, error) {
	raw, err := newAEAD(master[:]).Open(nil, nil, r.Sealed, r.place())
	if err != nil || len(raw) != len(Key{}) {
		return nil, fmt.Errorf("data key %d: %w", r.ID, ErrKey)
	}
	return newDataKey(r.ID, r.Purpose, Key(raw), r.CreatedAt), nil
}

// row returns the row of k, sealed with the master key.
func (k *dataKey) row(master Key) DataKeyRow {
	r := DataKeyRow{ID: k.id, Purpose: k.purpose, CreatedAt: k.createdAt}
	r.Sealed = newAEAD(master[:]).Seal(nil, nil, k.raw[:], r.place())
	return r
}

// keyring is an immutable set of open data keys.
type keyring struct {
	files  []FileRow // key files, read together with the keys
	byID   map[int64]*dataKey
	newest map[Purpose]*dataKey // keys to seal with
}

// newKeyring selects, for each purpose, the key to seal with at now. A key from the future
// opens values, but seals only if its purpose has no other key.
func newKeyring(list []*dataKey, now time.Time) *keyring {
	ring := &keyring{byID: map[int64]*dataKey{}, newest: map[Purpose]*dataKey{}}
	for _, k := range list {
		ring.byID[k.id] = k
		if n := ring.newest[k.purpose]; n == nil || n.before(k, now) {
			ring.newest[k.purpose] = k
		}
	}
	return ring
}

// fromFuture reports whether a clock that was ahead made the key. It is false for permanent
// keys, because there is no other.
func (k *dataKey) fromFuture(now time.Time) bool {
	return (k.purpose == ForPIN || k.purpose == ForCode) && verify.FromFuture(k.createdAt, now)
}

// before reports whether other takes precedence over k for sealing. Ids increase with every
// key; they decide between equal times and between keys from the future.
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

// replacedAt returns the creation time of the next key of the same purpose, after which k
// sealed no value except during lag. ok is false while k is in use. A key from the future was
// replaced at the latest by the first key made after it with a right clock.
func (r *keyring) replacedAt(k *dataKey, now time.Time) (at time.Time, ok bool) {
	if k == r.newest[k.purpose] {
		return at, false
	}
	for _, next := range r.of(k.purpose) {
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

// sorted returns the keys by id, which is their order of creation.
func (r *keyring) sorted() []*dataKey {
	return slices.SortedFunc(maps.Values(r.byID), func(a, b *dataKey) int { return cmp.Compare(a.id, b.id) })
}

// of returns the keys of a purpose by id.
func (r *keyring) of(p Purpose) []*dataKey {
	return slices.DeleteFunc(r.sorted(), func(k *dataKey) bool { return k.purpose != p })
}

// current is the keyring of this process. It is read again when a value has an unknown data
// key, which another node may have made.
type current struct {
	keys    atomic.Pointer[keyring]
	reading sync.Mutex // held while the keys are read
	read    func() (*keyring, error)
	asOf    atomic.Int64 // last known time in milliseconds, at most a minute old: decides which keys are from the future
}

// newest returns the key to seal with.
func (c *current) newest(p Purpose) *dataKey { return c.keys.Load().newest[p] }

// at returns the newest key that existed at t, or the current key if t precedes all keys.
func (c *current) at(p Purpose, t time.Time) *dataKey {
	ring := c.keys.Load()
	used := ring.newest[p]
	if !t.Before(used.createdAt) {
		return used
	}
	var found *dataKey
	for _, k := range ring.byID {
		if k.purpose == p && !k.createdAt.After(t) && (found == nil || found.createdAt.Before(k.createdAt)) {
			found = k
		}
	}
	if found == nil {
		return used
	}
	return found
}

// find returns the key with an id. It reads the keys once if the id is unknown. Its error
// wraps ErrDestroyed or ErrUnavailable.
func (c *current) find(id int64) (*dataKey, error) {
	before := c.keys.Load()
	if k := before.byID[id]; k != nil {
		return k, nil
	}
	ring, err := c.readAfter(before)
	if err != nil {
		return nil, fmt.Errorf("data key %d: %w: %w", id, ErrUnavailable, err)
	}
	if k := ring.byID[id]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("data key %d: %w", id, ErrDestroyed)
}

// readAfter returns a keyring read after before. Concurrent callers share one read.
func (c *current) readAfter(before *keyring) (*keyring, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if ring := c.keys.Load(); ring != before {
		return ring, nil
	}
	ring, err := c.read()
	if err != nil {
		return nil, err
	}
	c.keys.Store(ring)
	return ring, nil
}

// reread returns a keyring read after the call.
func (c *current) reread() (*keyring, error) { return c.readAfter(c.keys.Load()) }

// now returns the last known time.
func (c *current) now() time.Time { return time.UnixMilli(c.asOf.Load()).UTC() }
