// Package gsm turns text into what travels in the user data of an SMS, and back:
// it chooses an alphabet, cuts a long text into parts, writes and reads the user
// data header. The number of parts that it names is the number that is billed.
//
// Nothing is transliterated. A text with one curly quotation mark costs UCS-2,
// because what reaches a person must be what was written; who wants it cheaper
// writes another text.
//
// The rules are those of 3GPP TS 23.038 (alphabets) and TS 23.040 (user data).
// The package must not know SMPP, carriers, data_coding values or the network.
package gsm

import (
	"errors"
	"fmt"
)

// MaxParts is how many parts a message may have: their number is one octet
// (23.040 §9.2.3.24.1).
const MaxParts = 255

// ErrTooLong says that a text needs more than [MaxParts] parts.
var ErrTooLong = errors.New("text needs more than 255 parts")

// Alphabet is how characters are coded. It also fixes the unit that a part's
// size is counted in.
type Alphabet int

// The alphabets.
const (
	GSM7   Alphabet = iota // 23.038 §6.2.1 with shift tables; one septet in each octet
	Latin1                 // ISO 8859-1, one octet a character
	UCS2                   // UTF-16, big endian; other than the name says, with surrogate pairs
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

// Coding is all that is needed to read a payload. The languages matter to GSM7
// only.
type Coding struct {
	Alphabet Alphabet
	Locking  Language // whose table stands in for the default alphabet
	Single   Language // whose table stands in for the default extension table
}

// Concat is how the carrier puts the parts of a long message together.
type Concat int

// The ways to carry a long message.
const (
	ConcatUDH   Concat = iota // each part has a user data header
	ConcatSAR                 // parts of the same size; the caller numbers them elsewhere
	ConcatWhole               // one part with all; the other side cuts it
)

// Options is what a carrier lets a message use. The zero value is GSM7 without
// national tables, falling back to UCS2, in parts with an 8-bit reference.
type Options struct {
	// Base is the alphabet to try first. A text that does not fit it goes as
	// UCS2; with UCS2, every text does.
	Base Alphabet

	// Languages are the national tables of GSM7 that may be used for a text that
	// the default alphabet does not cover, the preferred one first. Handsets
	// that lack a table show wrong characters, so there are none by default.
	Languages []Language

	Concat Concat
	Wide   bool // 16-bit references: one octet less in each part
}

// Message is a text, coded and cut.
type Message struct {
	Coding   Coding
	Segments int // parts on the air, and on the bill
	Parts    []Part
}

// Part is the user data of one short message.
type Part struct {
	// Header is the user data header with its length octet; nil if there is none.
	// A national table is named here even where parts are not: without it the
	// text cannot be read.
	Header []byte

	// Payload is the text: of GSM7 one septet in each octet.
	Payload []byte
}

// Encode codes text in the alphabet that o allows, and cuts it. All parts carry
// ref, of which o may take the low octet only; messages on their way to one phone
// at the same time need different ones. Bytes of text that are not UTF-8 become
// U+FFFD. The only error is [ErrTooLong].
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

// Segments tells how many parts text takes on the air, which is what is billed,
// however the carrier puts them together. Beyond [MaxParts], [Encode] refuses.
func Segments(text string, o Options) int {
	var c coder
	return o.plan(&c, text).segments
}
