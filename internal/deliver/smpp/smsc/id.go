package smsc

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// IDs is the dialect of the message ids. §5.2.23 leaves their form to the carrier,
// and many write the id of a receipt in another form than that of the response.
type IDs uint8

const idDialects = 5

// The dialects.
const (
	IDsDecimal        IDs = iota
	IDsHex                // lower case, without leading zeros
	IDsHexThenDecimal     // hexadecimal in the response, decimal in the receipt
	IDsDecimalThenHex     // the other way round
	IDsUUID               // 36 characters, that no receipt of 10 can hold
)

//nolint:gochecknoglobals // a table
var idNames = [idDialects]string{"decimal", "hex", "hex-resp-decimal-receipt", "decimal-resp-hex-receipt", "uuid"}

// String is the name that [ParseIDs] reads.
func (d IDs) String() string { return idNames[d%idDialects] }

// ParseIDs reads the name of a dialect.
func ParseIDs(name string) (IDs, error) {
	for i, n := range idNames {
		if n == name {
			return IDs(i), nil
		}
	}
	return 0, fmt.Errorf("there are no ids %q; there are %s", name, strings.Join(idNames[:], ", "))
}

// firstID keeps ids at ten decimal digits, as Appendix B has them, and at eight
// hexadecimal ones of which the first is a letter, for long.
const firstID = 3_000_000_000

// inResponse is the id of message n in submit_sm_resp.
func (d IDs) inResponse(n, seed uint64) string {
	switch d {
	case IDsHex, IDsHexThenDecimal:
		return strconv.FormatUint(n, 16)
	case IDsUUID:
		return formatUUID(n, seed)
	default:
		return strconv.FormatUint(n, 10)
	}
}

// inReceipt is the id of message n in the text of a receipt.
func (d IDs) inReceipt(n, seed uint64) string {
	switch d {
	case IDsHexThenDecimal:
		return IDsDecimal.inResponse(n, seed)
	case IDsDecimalThenHex:
		return IDsHex.inResponse(n, seed)
	default:
		return d.inResponse(n, seed)
	}
}

// parse gives the message of an id in the form of the responses.
func (d IDs) parse(id string, seed uint64) (n uint64, ok bool) {
	var err error
	switch d {
	case IDsHex, IDsHexThenDecimal:
		n, err = strconv.ParseUint(id, 16, 64)
	case IDsUUID:
		n, err = strconv.ParseUint(id[max(0, len(id)-12):], 16, 64)
	default:
		n, err = strconv.ParseUint(id, 10, 64)
	}
	return n, err == nil && d.inResponse(n, seed) == id
}

// formatUUID makes a UUID (version 4 by its form) that ends with n.
func formatUUID(n, seed uint64) string {
	const golden, mix = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9 // of SplitMix64
	x := (n + seed) * golden
	x = (x ^ x>>30) * mix
	x ^= x >> 27
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], x)
	binary.BigEndian.PutUint64(b[8:], n&(1<<48-1)|x<<48)
	b[6] = b[6]&0x0F | 0x40
	b[8] = b[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
