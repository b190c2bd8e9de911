package verify

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// ID identifies a verification, an event or another object: a UUID (RFC 9562).
type ID [16]byte

// IDAt returns an ID with the time (48 bits, milliseconds since 1970) and 74 random bits,
// which cannot be guessed. Its version field is 4, as in all ids of the API, for clients
// that check it. Databases keep such ids in the order of time, so that new rows are
// adjacent; with random ids each row would change another page of every index. IDAt panics
// if rnd fails.
func IDAt(now time.Time, rnd io.Reader) ID {
	id := NewID(rnd)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli())<<16)
	copy(id[:6], ms[:6])
	return id
}

// Time returns the time in an ID made by IDAt.
func (id ID) Time() time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
}

// NewID returns a random ID (UUID version 4). It panics if rnd fails, since an id must be
// random; crypto/rand.Reader never fails.
func NewID(rnd io.Reader) ID {
	var id ID
	if _, err := io.ReadFull(rnd, id[:]); err != nil {
		panic(fmt.Sprintf("verify: source of randomness failed: %v", err))
	}
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // variant 10
	return id
}

// ParseID parses an id: 32 hexadecimal digits in any letter case, with or without the four
// dashes.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return ID{}, false
		}
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(s) != 32 {
		return ID{}, false
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, false
	}
	return id, true
}

// String returns the usual form with dashes.
func (id ID) String() string {
	b := make([]byte, 0, 36)
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	return string(hex.AppendEncode(b, id[10:]))
}

// Hex returns the form of the v1 API: 32 lower-case digits without dashes.
func (id ID) Hex() string {
	var b [32]byte
	hex.Encode(b[:], id[:])
	return string(b[:])
}

// IsZero reports whether id is the zero value.
func (id ID) IsZero() bool { return id == ID{} }
