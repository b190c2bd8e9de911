package verify

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// ID names a verification, an event or another thing: a UUID (RFC 9562).
type ID [16]byte

// IDAt draws an ID of now: the milliseconds since 1970 in 48 bits, and 74 random ones,
// which nobody guesses. It says of itself that it is of version 4, as all ids of the API
// do: a client that looks at that finds what it knows. Databases keep what has such an id
// in the order of time, so that what is new lies together: with ids that are random as a
// whole, each row changes a page of its own in every index. It panics as NewID does.
func IDAt(now time.Time, rnd io.Reader) ID {
	id := NewID(rnd)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli())<<16)
	copy(id[:6], ms[:6])
	return id
}

// Time returns the time of an ID that IDAt drew.
func (id ID) Time() time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
}

// NewID draws a random ID (UUID version 4) from rnd, which must not fail (crypto/rand.Reader
// never does); it panics otherwise, since there is nothing sensible to do with
// an id that is not random.
func NewID(rnd io.Reader) ID {
	var id ID
	if _, err := io.ReadFull(rnd, id[:]); err != nil {
		panic(fmt.Sprintf("verify: source of randomness failed: %v", err))
	}
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // variant 10
	return id
}

// ParseID reads an id in either of its forms, 32 hexadecimal digits with or
// without the four dashes, in any letter case.
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

// String gives the usual form with dashes.
func (id ID) String() string {
	b := make([]byte, 0, 36)
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	return string(hex.AppendEncode(b, id[10:]))
}

// Hex gives the form of the v1 API: 32 lower-case digits without dashes.
func (id ID) Hex() string {
	var b [32]byte
	hex.Encode(b[:], id[:])
	return string(b[:])
}

// IsZero reports whether id was never set.
func (id ID) IsZero() bool { return id == ID{} }
