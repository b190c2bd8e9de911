package smsc

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// IDs is the dialect of the message ids. §5.2.23 leaves their form to the carrier, and
// many use different forms in response and receipt.
type IDs uint8

const idDialects = 5

// Dialects.
const (
	IDsDecimal        IDs = iota
	IDsHex                // lower case, without leading zeros
	IDsHexThenDecimal     // hexadecimal in the response, decimal in the receipt
	IDsDecimalThenHex     // decimal in the response, hexadecimal in the receipt
	IDsUUID               // 36 characters, more than the 10 of Appendix B
)

//nolint:gochecknoglobals // a table
var idNames = [idDialects]string{"decimal", "hex", "hex-resp-decimal-receipt", "decimal-resp-hex-receipt", "uuid"}

// String returns the name that [ParseIDs] accepts.
func (d IDs) String() string { return idNames[d%idDialects] }

// ParseIDs parses the name of a dialect.
func ParseIDs(name string) (IDs, error) {
	for i, n := range idNames {
		if n == name {
			return IDs(i), nil
		}
	}
	return 0, fmt.Errorf("unknown ids %q; use one of %s", name, strings.Join(idNames[:], ", "))
}

// firstID is chosen so that the first billion ids have ten decimal digits, as in
// Appendix B, and eight hexadecimal ones that begin with a letter.
const firstID = 3_000_000_000

// inResponse returns the id of message n in submit_sm_resp.
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

// inReceipt returns the id of message n in the text of a receipt.
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

// parse returns the number of a message from its id in the response.
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

// formatUUID returns a UUID in the form of version 4 that ends with n.
func formatUUID(n, seed uint64) string {
	const golden, mix = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9 // constants of SplitMix64
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
