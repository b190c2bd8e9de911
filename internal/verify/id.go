package verify

import (
	"encoding/hex"
	"fmt"
	"io"
)

// ID names a verification or an event: a random UUID (RFC 9562, version 4).
type ID [16]byte

// NewID draws a random ID from rnd, which must not fail (crypto/rand.Reader
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
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Hex gives the form of the v1 API: 32 lower-case digits without dashes.
func (id ID) Hex() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id was never set.
func (id ID) IsZero() bool { return id == ID{} }
