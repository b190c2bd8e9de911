package pdu

import (
	"bytes"
	"encoding/binary"
)

// Tag names an optional parameter (§5.3.2).
type Tag uint16

// The optional parameters that carriers use with verifications.
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

// maxTLVs bounds the optional parameters of one PDU. The specification has some
// forty (§5.3.2); more would only cost memory, several times that of their octets.
const maxTLVs = 64

// TLV is one optional parameter (§5.3).
type TLV struct {
	Tag   Tag
	Value []byte
}

// TLVs are the optional parameters of a PDU, in the order in which they travel. More
// than 64 are not written, and not read.
type TLVs []TLV

// Get is the value of the first parameter with the tag.
func (t TLVs) Get(tag Tag) (value []byte, ok bool) {
	for i := range t {
		if t[i].Tag == tag {
			return t[i].Value, true
		}
	}
	return nil, false
}

// Uint is the value of a parameter that is a whole number of one, two or four
// octets. ok is false when it is missing or has another length.
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

// Text is the value of a parameter that is a C-Octet String, without its NUL,
// which some carriers leave out.
func (t TLVs) Text(tag Tag) (s string, ok bool) {
	v, ok := t.Get(tag)
	if i := bytes.IndexByte(v, 0); i >= 0 {
		v = v[:i]
	}
	return string(v), ok
}

// Uint8 makes a parameter of one octet.
func Uint8(tag Tag, v uint8) TLV { return TLV{tag, []byte{v}} }

// Uint16 makes a parameter of two octets.
func Uint16(tag Tag, v uint16) TLV { return TLV{tag, binary.BigEndian.AppendUint16(nil, v)} }

// Text makes a parameter that is a C-Octet String.
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

// tlvs takes the rest. A tail that is no parameter is passed over: carriers are
// known to pad. So is what comes after maxTLVs.
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

// nextTLV is the tag of the parameter that b begins with, and how many octets it
// takes in all.
func nextTLV(b []byte) (tag Tag, n int, ok bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	n = 4 + int(binary.BigEndian.Uint16(b[2:]))
	return Tag(binary.BigEndian.Uint16(b)), n, n <= len(b)
}
