package pdu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// writer appends fields to b. After the first error, kept in err, b is undefined.
type writer struct {
	b   []byte
	err error
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }

var errControl = errors.New("has a character that is not printable ASCII")

// text writes a C-Octet String (§3.1) of at most size octets, including its NUL.
func (w *writer) text(field, s string, size int) {
	if checkText(w, field, s, size); w.err == nil {
		w.b = append(append(w.b, s...), 0)
	}
}

// checkText fails unless s and a NUL fit in size octets and s is printable ASCII. Thus
// a NUL or a line break in s cannot end the field early.
func checkText[T string | []byte](w *writer, field string, s T, size int) {
	if len(s) >= size {
		w.fail("%s is %d characters long, at most %d fit", field, len(s), size-1)
		return
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			w.fail("%s %w", field, errControl)
			return
		}
	}
}

// time writes a time (§7.1.1) of 16 characters, or "".
func (w *writer) time(field, s string) {
	if s != "" && len(s) != 16 {
		w.fail("%s is %d characters long, not 16", field, len(s))
		return
	}
	w.text(field, s, 17)
}

// reader reads fields from b. After an error it returns zero values.
type reader struct {
	b       []byte
	lenient bool // fields missing at the end are zero, for responses

	reason string
	status Status
}

func (r *reader) fail(status Status, reason string) {
	if r.reason == "" {
		r.reason, r.status = reason, status
	}
	r.b = nil
}

// take reads n octets. It returns nil if b is shorter.
func (r *reader) take(field string, n int) []byte {
	if len(r.b) < n {
		if !r.lenient || len(r.b) > 0 {
			r.fail(StatusInvalidCommandLength, "ends before "+field)
		}
		r.b = nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) u8(field string) uint8 {
	if b := r.take(field, 1); b != nil {
		return b[0]
	}
	return 0
}

// text reads a C-Octet String. The end of the PDU may replace the NUL unless the
// string is empty.
func (r *reader) text(field string) string {
	if len(r.b) == 0 {
		r.take(field, 1)
		return ""
	}
	s := r.b
	if i := bytes.IndexByte(s, 0); i >= 0 {
		s, r.b = s[:i], s[i+1:]
	} else {
		r.b = nil
	}
	return string(s)
}
