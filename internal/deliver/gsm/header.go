package gsm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrHeader says that a user data header is not one.
var ErrHeader = errors.New("malformed user data header")

// Information elements of a header, 23.040 §9.2.3.24.
const (
	ieConcat     = 0x00
	iePorts      = 0x04
	iePortsWide  = 0x05
	ieConcatWide = 0x08
	ieSingle     = 0x24
	ieLocking    = 0x25
)

// Header is what a user data header says, as far as it is understood.
type Header struct {
	// Place of this part. Total is 0 where the header names none.
	Ref   uint16
	Wide  bool // Ref has 16 bits; the references of either width are apart
	Total int
	Seq   int // from 1

	// Languages of the GSM7 text.
	Locking Language
	Single  Language

	// Ports of an application on the phone.
	Ports    bool // there are some
	ToPort   uint16
	FromPort uint16

	// Octets is the size of the header with its length octet.
	Octets int
}

// Coding is the coding of the payload behind h.
func (h Header) Coding(a Alphabet) Coding {
	return Coding{Alphabet: a, Locking: h.Locking, Single: h.Single}
}

// ParseHeader reads the header that userData begins with, and returns what
// follows it. Elements that are unknown, or that say nothing sensible, are passed
// over; of two that contradict each other the last one counts (23.040 §9.2.3.24).
//
// The error wraps [ErrHeader]. If a header ends within an element, all that it
// says is ignored, as the specification wants, but rest is still what follows it;
// if it is longer than userData, rest is userData.
func ParseHeader(userData []byte) (h Header, rest []byte, err error) {
	if len(userData) == 0 {
		return Header{}, userData, fmt.Errorf("%w: no length", ErrHeader)
	}
	octets := 1 + int(userData[0])
	if octets > len(userData) {
		return Header{}, userData, fmt.Errorf("%w: %d octets of %d", ErrHeader, len(userData), octets)
	}
	h.Octets = octets
	for ies := userData[1:octets]; len(ies) > 0; {
		if len(ies) < 2 || len(ies) < 2+int(ies[1]) {
			return Header{Octets: octets}, userData[octets:], fmt.Errorf("%w: last element is cut off", ErrHeader)
		}
		end := 2 + int(ies[1])
		h.element(ies[0], ies[2:end])
		ies = ies[end:]
	}
	return h, userData[octets:], nil
}

func (h *Header) element(id byte, data []byte) {
	switch {
	case id == ieConcat && len(data) == 3:
		h.place(uint16(data[0]), false, data[1], data[2])
	case id == ieConcatWide && len(data) == 4:
		h.place(binary.BigEndian.Uint16(data), true, data[2], data[3])
	case id == iePorts && len(data) == 2:
		h.Ports, h.ToPort, h.FromPort = true, uint16(data[0]), uint16(data[1])
	case id == iePortsWide && len(data) == 4:
		h.Ports, h.ToPort, h.FromPort = true, binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	case id == ieSingle && len(data) == 1:
		h.Single = Language(data[0])
	case id == ieLocking && len(data) == 1:
		h.Locking = Language(data[0])
	}
}

// place ignores what §9.2.3.24.1 wants ignored: no parts, part 0, a part beyond
// the last.
func (h *Header) place(ref uint16, wide bool, total, seq byte) {
	if seq == 0 || seq > total {
		return
	}
	h.Ref, h.Wide, h.Total, h.Seq = ref, wide, int(total), int(seq)
}

// place is where a part stands in its message; the zero value is nowhere.
type place struct {
	ref        uint16
	wide       bool
	total, seq byte
}

// headerOctets is the size of the header for a coding, with or without a place.
func headerOctets(c Coding, wide, placed bool) int {
	n := 0
	if placed {
		n += 5
		if wide {
			n++
		}
	}
	if c.Single != NoLanguage {
		n += 3
	}
	if c.Locking != NoLanguage {
		n += 3
	}
	if n > 0 {
		n++ // the length
	}
	return n
}

// appendHeader writes the header; nothing if it would be empty.
func appendHeader(dst []byte, c Coding, p place) []byte {
	n := headerOctets(c, p.wide, p.total > 0)
	if n == 0 {
		return dst
	}
	dst = append(dst, byte(n-1))
	switch {
	case p.total == 0:
	case p.wide:
		dst = append(dst, ieConcatWide, 4, byte(p.ref>>8), byte(p.ref), p.total, p.seq)
	default:
		dst = append(dst, ieConcat, 3, byte(p.ref), p.total, p.seq)
	}
	if c.Single != NoLanguage {
		dst = append(dst, ieSingle, 1, byte(c.Single))
	}
	if c.Locking != NoLanguage {
		dst = append(dst, ieLocking, 1, byte(c.Locking))
	}
	return dst
}
