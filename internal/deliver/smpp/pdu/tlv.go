package pdu

import (
	"bytes"
	"encoding/binary"
)

// Tag identifies an optional parameter (§5.3.2).
type Tag uint16

// Optional parameters that carriers use with verifications.
const (
	TagPayloadType          Tag = 0x0019
	TagReceiptedMessageID   Tag = 0x001E
	TagUserMessageReference Tag = 0x0204
	TagSourcePort           Tag = 0x020A
	TagDestinationPort      Tag = 0x020B
	TagSARMsgRefNum         Tag = 0x020C
	TagSARTotalSegments     Tag = 0x020E
	TagSARSegmentSeqnum     Tag = 0x020F
	TagSCInterfaceVersion   Tag = 0x0210
	TagMSAvailabilityStatus Tag = 0x0422
	TagNetworkErrorCode     Tag = 0x0423
	TagMessagePayload       Tag = 0x0424
	TagDeliveryFailReason   Tag = 0x0425
	TagMoreMessagesToSend   Tag = 0x0426
	TagMessageState         Tag = 0x0427
)

// maxTLVs limits the optional parameters of one PDU. The specification defines about
// 40 (§5.3.2). Decoded parameters need several times the memory of their octets.
const maxTLVs = 64

// TLV is one optional parameter (§5.3).
type TLV struct {
	Tag   Tag
	Value []byte
}

// TLVs are the optional parameters of a PDU, in the order of transmission. More than 64
// are an error when encoding and are ignored when decoding.
type TLVs []TLV

// Get returns the value of the first parameter with the tag.
func (t TLVs) Get(tag Tag) (value []byte, ok bool) {
	for i := range t {
		if t[i].Tag == tag {
			return t[i].Value, true
		}
	}
	return nil, false
}

// Uint returns the value of an integer parameter of 1, 2 or 4 octets. ok is false if
// the parameter is missing or has another length.
func (t TLVs) Uint(tag Tag) (n uint32, ok bool) {
	v, ok := t.Get(tag)
	switch {
	case !ok:
		return 0, false
	case len(v) == 1:
		return uint32(v[0]), true
	case len(v) == 2:
		return uint32(binary.BigEndian.Uint16(v)), true
	case len(v) == 4:
		return binary.BigEndian.Uint32(v), true
	}
	return 0, false
}

// Text returns the value of a C-Octet String parameter without its NUL, which some
// carriers omit.
func (t TLVs) Text(tag Tag) (s string, ok bool) {
	v, ok := t.Get(tag)
	if i := bytes.IndexByte(v, 0); i >= 0 {
		v = v[:i]
	}
	return string(v), ok
}

// Uint8 returns a parameter of one octet.
func Uint8(tag Tag, v uint8) TLV { return TLV{tag, []byte{v}} }

// Uint16 returns a parameter of two octets.
func Uint16(tag Tag, v uint16) TLV { return TLV{tag, binary.BigEndian.AppendUint16(nil, v)} }

// Text returns a C-Octet String parameter.
func Text(tag Tag, s string) TLV { return TLV{tag, append([]byte(s), 0)} }

func (w *writer) tlvs(list TLVs) {
	if len(list) > maxTLVs {
		w.fail("%d optional parameters, at most %d fit", len(list), maxTLVs)
		return
	}
	for _, t := range list {
		if len(t.Value) > 0xFFFF {
			w.fail("optional parameter 0x%04X has %d octets", uint16(t.Tag), len(t.Value))
			return
		}
		if t.Tag == TagReceiptedMessageID {
			checkText(w, "receipted_message_id", bytes.TrimSuffix(t.Value, []byte{0}), 65)
		}
		w.u16(uint16(t.Tag))
		w.u16(uint16(len(t.Value)))
		w.b = append(w.b, t.Value...)
	}
}

// tlvs reads the rest of the PDU. It ignores parameters after the first maxTLVs, and a
// tail that is not a parameter, since some carriers pad PDUs.
func (r *reader) tlvs() TLVs {
	count, end := 0, 0
	for count < maxTLVs {
		_, n, ok := nextTLV(r.b[end:])
		if !ok {
			break
		}
		count, end = count+1, end+n
	}
	if count == 0 {
		r.b = nil
		return nil
	}
	rest := bytes.Clone(r.b[:end])
	r.b = nil
	list := make(TLVs, count)
	for i := range list {
		tag, n, _ := nextTLV(rest)
		list[i] = TLV{tag, rest[4:n:n]}
		rest = rest[n:]
	}
	return list
}

// nextTLV returns the tag and the total length in octets of the parameter at the start
// of b.
func nextTLV(b []byte) (tag Tag, n int, ok bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	n = 4 + int(binary.BigEndian.Uint16(b[2:]))
	return Tag(binary.BigEndian.Uint16(b)), n, n <= len(b)
}
