package pdu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// writer appends fields to b until one of them is wrong.
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

// text writes a C-Octet String (§3.1) of at most size octets, its NUL included.
func (w *writer) text(field, s string, size int) {
	if checkText(w, field, s, size); w.err == nil {
		w.b = append(append(w.b, s...), 0)
	}
}

// checkText fails unless s fits size octets with a NUL. What is not printable ASCII
// is refused, so that neither NUL nor a line break can end a field early.
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

// time writes a time (§7.1.1): none, or 16 characters.
func (w *writer) time(field, s string) {
	if s != "" && len(s) != 16 {
		w.fail("%s is %d characters long, not 16", field, len(s))
		return
	}
	w.text(field, s, 17)
}

// reader takes fields from b. After a mistake it gives zero values.
type reader struct {
	b       []byte
	lenient bool // what is missing at the end is zero: a response

	reason string
	status Status
}

func (r *reader) fail(status Status, reason string) {
	if r.reason == "" {
		r.reason, r.status = reason, status
	}
	r.b = nil
}

// take takes n octets, or nil if there are not as many.
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

// text takes a C-Octet String. One that the PDU ends without a NUL counts, if it
// is not empty.
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
