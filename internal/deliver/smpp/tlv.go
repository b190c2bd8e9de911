package smpp

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/deliver"
	"countersign/internal/deliver/placeholder"
	"countersign/internal/deliver/smpp/pdu"
)

// TLVType is the form of the value of a [TLV].
type TLVType string

// TLV types.
const (
	TLVCString TLVType = "cstring" // printable ASCII, NUL-terminated (C-Octet String)
	TLVText    TLVType = "text"    // UTF-8, without a NUL
	TLVHex     TLVType = "hex"     // octets, two hexadecimal digits each
	TLVUint8   TLVType = "uint8"   // integers of 1, 2 and 4 octets, in decimal or as 0x…
	TLVUint16  TLVType = "uint16"
	TLVUint32  TLVType = "uint32"
)

// TLV is an optional parameter of each submit_sm. Value may have the placeholders of
// package placeholder. The parameter is omitted if the rendered value is "".
type TLV struct {
	Tag   uint16
	Type  TLVType // default TLVCString
	Value string
}

const (
	maxOwnTLVs  = 32  // TLVs of one carrier
	maxTLVValue = 255 // octets
)

// tlv is a validated TLV.
type tlv struct {
	tag   pdu.Tag
	kind  TLVType
	value placeholder.Text
}

// reservedTags are set by Countersign, or by the SMSC.
func reservedTags() []pdu.Tag {
	return []pdu.Tag{
		pdu.TagSARMsgRefNum, pdu.TagSARTotalSegments, pdu.TagSARSegmentSeqnum, pdu.TagMessagePayload,
		pdu.TagReceiptedMessageID, pdu.TagMessageState, pdu.TagNetworkErrorCode, pdu.TagSCInterfaceVersion,
	}
}

// parseTLVs parses and validates the parameters of a carrier. Values with placeholders
// are validated when they are rendered.
func parseTLVs(list []TLV) ([]tlv, error) {
	if len(list) > maxOwnTLVs {
		return nil, fmt.Errorf("tlvs: has %d, at most %d are allowed", len(list), maxOwnTLVs)
	}
	parsed := make([]tlv, 0, len(list))
	for i, t := range list {
		set(&t.Type, TLVCString)
		p := tlv{tag: pdu.Tag(t.Tag), kind: t.Type}
		var err error
		switch {
		case t.Tag == 0:
			return nil, fmt.Errorf("tlvs[%d].tag: must be 0x0001 to 0xFFFF", i)
		case slices.Contains(reservedTags(), p.tag):
			return nil, fmt.Errorf("tlvs[%d].tag: 0x%04X is set by Countersign or the SMSC, choose another", i, t.Tag)
		case slices.ContainsFunc(parsed, func(other tlv) bool { return other.tag == p.tag }):
			return nil, fmt.Errorf("tlvs[%d].tag: 0x%04X is given twice", i, t.Tag)
		case !slices.Contains([]TLVType{TLVCString, TLVText, TLVHex, TLVUint8, TLVUint16, TLVUint32}, t.Type):
			return nil, fmt.Errorf("tlvs[%d].type: must be cstring, text, hex, uint8, uint16 or uint32, not %q", i, t.Type)
		case t.Value == "":
			return nil, fmt.Errorf("tlvs[%d].value: must be given", i)
		}
		p.value, err = placeholder.Parse(t.Value, func(string) placeholder.Escape {
			return func(s string) (string, error) { return s, nil }
		})
		if err == nil && len(p.value.Fields()) == 0 {
			_, err = p.octets(nil)
		}
		if err != nil {
			return nil, fmt.Errorf("tlvs[%d].value: %w", i, err)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// tlvsOf returns the carrier's parameters for a message. An error has the tag of the
// parameter but not its value.
func (c *Carrier) tlvsOf(m deliver.Message) (pdu.TLVs, error) {
	if len(c.tlvs) == 0 {
		return nil, nil
	}
	v := placeholder.Of(m, m.ValidFor)
	list := make(pdu.TLVs, 0, len(c.tlvs))
	for _, t := range c.tlvs {
		octets, err := t.octets(v)
		if err != nil {
			return nil, fmt.Errorf("smpp.tlvs, tag 0x%04X: %w", uint16(t.tag), err)
		}
		if octets != nil {
			list = append(list, pdu.TLV{Tag: t.tag, Value: octets})
		}
	}
	return list, nil
}

// octets renders the value of a parameter; nil if the value is "".
func (t tlv) octets(v placeholder.Values) ([]byte, error) {
	text, err := t.value.Render(v)
	if err != nil || text == "" {
		return nil, err
	}
	var b []byte
	switch t.kind {
	case TLVCString:
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, errors.New("a cstring must be printable ASCII; type text takes other characters")
		}
		b = append([]byte(text), 0)
	case TLVText:
		b = []byte(text)
	case TLVHex:
		if b, err = hex.DecodeString(text); err != nil {
			return nil, errors.New("must be octets of two hexadecimal digits each, such as 0a1b")
		}
	case TLVUint8, TLVUint16, TLVUint32:
		return t.number(text)
	}
	if len(b) > maxTLVValue {
		return nil, fmt.Errorf("has %d octets, at most %d are allowed", len(b), maxTLVValue)
	}
	return b, nil
}

func (t tlv) number(text string) ([]byte, error) {
	bits := map[TLVType]int{TLVUint8: 8, TLVUint16: 16, TLVUint32: 32}[t.kind]
	n, err := strconv.ParseUint(text, 0, bits)
	if err != nil {
		return nil, fmt.Errorf("must be an integer from 0 to %d", uint64(1)<<bits-1)
	}
	return binary.BigEndian.AppendUint64(nil, n)[8-bits/8:], nil
}
