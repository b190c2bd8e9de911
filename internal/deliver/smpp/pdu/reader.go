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

// NewReader returns a reader of r. It holds a buffer of MaxLength octets and
// never more, whatever a command_length claims.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, MaxLength)} }

// Next reads the next PDU. It returns io.EOF where the stream ends between two,
// io.ErrUnexpectedEOF inside of one, and [*Error] for what makes no sense; unless
// that is Fatal, Next may be called again.
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

// Buffered is how many octets have arrived that Next has not read yet.
func (r *Reader) Buffered() int { return r.r.Buffered() }

func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) && r.r.Buffered() > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
