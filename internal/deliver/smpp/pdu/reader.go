package pdu

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Reader reads PDUs from a connection.
type Reader struct{ r *bufio.Reader }

// NewReader returns a reader of r with a fixed buffer of MaxLength octets,
// independent of command_length.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, MaxLength)} }

// Next reads the next PDU. It returns io.EOF if the stream ends between two PDUs,
// io.ErrUnexpectedEOF if it ends within one, and an [*Error] for a malformed PDU.
// After an error that is not Fatal, Next may be called again.
func (r *Reader) Next() (PDU, error) {
	head, err := r.r.Peek(headerLength)
	if err != nil {
		return PDU{}, r.cut(err)
	}
	length := binary.BigEndian.Uint32(head)
	if length < headerLength || length > MaxLength {
		return PDU{}, &Error{
			Command:  Command(binary.BigEndian.Uint32(head[4:])),
			Sequence: binary.BigEndian.Uint32(head[12:]),
			Status:   StatusInvalidCommandLength, Fatal: true,
			Reason: fmt.Sprintf("command_length is %d", length),
		}
	}
	frame, err := r.r.Peek(int(length))
	if err != nil {
		return PDU{}, r.cut(err)
	}
	p, err := Decode(frame)
	if _, discardErr := r.r.Discard(int(length)); discardErr != nil {
		return p, discardErr
	}
	return p, err
}

// Buffered returns the number of octets that have arrived but are not yet decoded.
func (r *Reader) Buffered() int { return r.r.Buffered() }

func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) && r.r.Buffered() > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
