package gsm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrHeader indicates a malformed user data header.
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

// Header contains the supported elements of a user data header.
type Header struct {
	// Number of this part. Total is 0 if the header has none.
	Ref   uint16
	Wide  bool // Ref has 16 bits; references of different width never match
	Total int
	Seq   int // from 1

	// Languages of the GSM7 text.
	Locking Language
	Single  Language

	// Ports of an application on the phone.
	Ports    bool // ToPort and FromPort are set
	ToPort   uint16
	FromPort uint16

	// Octets is the size of the header with its length octet.
	Octets int
}

// Coding returns the coding of the payload after h.
func (h Header) Coding(a Alphabet) Coding {
	return Coding{Alphabet: a, Locking: h.Locking, Single: h.Single}
}

// ParseHeader parses the header at the start of userData and returns the rest. It ignores
// unknown and invalid elements. If elements contradict each other, the last one applies
// (23.040 §9.2.3.24).
//
// The error wraps [ErrHeader]. If the header ends within an element, all its elements are
// ignored, as specified, and rest is the user data after it. If the header is longer than
// userData, rest is userData.
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

// place sets the part number. It ignores a total of 0, part 0, and a part beyond the last
// (§9.2.3.24.1).
func (h *Header) place(ref uint16, wide bool, total, seq byte) {
	if seq == 0 || seq > total {
		return
	}
	h.Ref, h.Wide, h.Total, h.Seq = ref, wide, int(total), int(seq)
}

// place is the number of a part in its message. The zero value means no number.
type place struct {
	ref        uint16
	wide       bool
	total, seq byte
}

// headerOctets returns the size of the header for a coding, with or without a part
// number.
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

// appendHeader appends the header to dst, unless it is empty.
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
