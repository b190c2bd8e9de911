// Package gsm converts text to the user data of SMS and back. It selects the alphabet,
// splits long texts into parts, and encodes and decodes user data headers. Carriers bill
// the number of parts that it reports.
//
// Texts are never transliterated, so that recipients get the text as written. One curly
// quotation mark therefore requires UCS-2; a cheaper message needs another text.
//
// The rules follow 3GPP TS 23.038 (alphabets) and TS 23.040 (user data). The package does
// not depend on SMPP, carriers, data_coding values or the network.
package gsm

import (
	"errors"
	"fmt"
)

// MaxParts is the maximum number of parts of a message, which is encoded in one octet
// (23.040 §9.2.3.24.1).
const MaxParts = 255

// ErrTooLong indicates that a text needs more than [MaxParts] parts.
var ErrTooLong = errors.New("text needs more than 255 parts")

// Alphabet is a character encoding. It also determines the unit of part sizes.
type Alphabet int

// Alphabets.
const (
	GSM7   Alphabet = iota // 23.038 §6.2.1 with shift tables; one septet in each octet
	Latin1                 // ISO 8859-1, one octet per character
	UCS2                   // UTF-16, big endian, with surrogate pairs
)

// String returns the name of the alphabet.
func (a Alphabet) String() string {
	switch a {
	case GSM7:
		return "GSM7"
	case Latin1:
		return "Latin1"
	case UCS2:
		return "UCS2"
	}
	return fmt.Sprintf("Alphabet(%d)", int(a))
}

// Coding determines how a payload is decoded. The languages apply only to GSM7.
type Coding struct {
	Alphabet Alphabet
	Locking  Language // replaces the default alphabet
	Single   Language // replaces the default extension table
}

// Concat is the method of concatenating the parts of a long message.
type Concat int

// Concatenation methods.
const (
	ConcatUDH   Concat = iota // each part has a user data header
	ConcatSAR                 // parts of the same size, numbered by the caller
	ConcatWhole               // one part; the other side splits it
)

// Options are the features that a carrier supports. The zero value is GSM7 without
// national tables, with UCS2 as fallback, in parts with an 8-bit reference.
type Options struct {
	// Base is the preferred alphabet. A text with other characters is encoded as UCS2.
	Base Alphabet

	// Languages are the allowed national tables of GSM7, in order of preference, for
	// texts outside the default alphabet. The default is empty, since phones without the
	// table show wrong characters.
	Languages []Language

	Concat Concat
	Wide   bool // 16-bit references, which take one octet more in each part
}

// Message is an encoded text, split into parts.
type Message struct {
	Coding   Coding
	Segments int // number of SMS on the air and on the bill
	Parts    []Part
}

// Part is the user data of one short message.
type Part struct {
	// Header is the user data header with its length octet, or nil. It contains the
	// national tables even if it has no part number, since decoding requires them.
	Header []byte

	// Payload is the encoded text; for GSM7 it has one septet in each octet.
	Payload []byte
}

// Encode encodes text with the options o and splits it. All parts have the reference ref,
// or its low octet without o.Wide. Messages in flight to one phone must have different
// references. Bytes of text that are not UTF-8 become U+FFFD. The error wraps
// [ErrTooLong].
func Encode(text string, o Options, ref uint16) (Message, error) {
	var c coder
	p := o.plan(&c, text)
	if p.segments > MaxParts {
		return Message{}, fmt.Errorf("%w: %d", ErrTooLong, p.segments)
	}
	payload := make([]byte, 0, p.units*unitOctets(p.coding.Alphabet))
	for _, r := range text {
		payload = c.append(payload, r)
	}
	m := Message{Coding: p.coding, Segments: p.segments}
	if o.Concat == ConcatWhole || p.segments == 1 {
		m.Parts = []Part{{Header: appendHeader(nil, p.coding, place{}), Payload: payload}}
		return m, nil
	}
	m.Parts = make([]Part, p.segments)
	headers := make([]byte, 0, p.segments*headerOctets(p.coding, o.Wide, true))
	for i := range m.Parts {
		var at place
		if o.Concat == ConcatUDH {
			at = place{ref: ref, wide: o.Wide, total: byte(p.segments), seq: byte(i + 1)}
		}
		start := len(headers)
		headers = appendHeader(headers, p.coding, at)
		if h := headers[start:len(headers):len(headers)]; len(h) > 0 {
			m.Parts[i].Header = h
		}
		m.Parts[i].Payload, payload = cut(payload, p.coding.Alphabet, p.room)
	}
	return m, nil
}

// Segments returns the number of SMS that text needs, which a carrier bills. It does not
// depend on o.Concat. It may exceed [MaxParts], unlike the result of [Encode].
func Segments(text string, o Options) int {
	var c coder
	return o.plan(&c, text).segments
}
