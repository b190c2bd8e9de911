// Package pdu encodes and decodes SMPP 3.4 protocol data units, which an ESME (an
// application) and an SMSC (a carrier) exchange.
//
// Encoding is strict: a value that violates the specification (a field too long, a
// control character in a text field, a message in two fields) is an error, and no
// octet is written. Decoding is tolerant while the meaning is unambiguous. It accepts
// texts that are too long or not terminated, responses without a body, unknown
// optional parameters, and trailing octets. Other defects are an [*Error] with the
// status to answer.
//
// Sections (§) refer to "Short Message Peer to Peer Protocol Specification v3.4",
// issue 1.2. The package does not depend on connections, timers or message contents.
package pdu

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxLength is the maximum length of a PDU in octets. The longest useful PDU has a
// message_payload with a 16-bit length (§5.3.2.32).
const MaxLength = 70_000

const headerLength = 16

// PDU is one protocol data unit (§3.2).
type PDU struct {
	Status   Status // 0 in requests
	Sequence uint32 // 1 to 0x7FFFFFFF; equal in a request and its response
	Body     Body
}

// Body is the part of a PDU after the header. Only this package implements it.
type Body interface {
	// Command returns the command_id.
	Command() Command

	// write takes and returns the writer by value, so that it stays off the heap.
	write(w writer) writer
	read(r *reader)
}

// Append appends the encoding of p to b. On error it returns b unchanged. It omits the
// body of bind_resp and submit_sm_resp with an error status (§4.1.2, §4.4.2).
func Append(b []byte, p PDU) ([]byte, error) {
	if p.Body == nil {
		return b, errors.New("write a PDU: no body")
	}
	command := p.Body.Command()
	w := writer{b: b}
	w.u32(0)
	w.u32(uint32(command))
	w.u32(uint32(p.Status))
	w.u32(p.Sequence)
	w = p.Body.write(w)
	if p.Status != StatusOK && command.dropsBody() {
		w.b = w.b[:len(b)+headerLength]
	}
	length := len(w.b) - len(b)
	if w.err == nil && length > MaxLength {
		w.err = fmt.Errorf("%d octets, over %d", length, MaxLength)
	}
	if w.err != nil {
		return b, fmt.Errorf("write %s: %w", command, w.err)
	}
	binary.BigEndian.PutUint32(w.b[len(b):], uint32(length))
	return w.b, nil
}

// Decode decodes one complete PDU, including its header. The result does not alias
// frame. The error is an [*Error].
func Decode(frame []byte) (PDU, error) {
	if len(frame) < headerLength {
		return PDU{}, &Error{Status: StatusInvalidCommandLength, Fatal: true, Reason: fmt.Sprintf("header has %d of %d octets", len(frame), headerLength)}
	}
	command := Command(binary.BigEndian.Uint32(frame[4:]))
	p := PDU{
		Status:   Status(binary.BigEndian.Uint32(frame[8:])),
		Sequence: binary.BigEndian.Uint32(frame[12:]),
		Body:     command.newBody(),
	}
	if n := binary.BigEndian.Uint32(frame); n != uint32(len(frame)) {
		return p, &Error{
			Command: command, Sequence: p.Sequence, Status: StatusInvalidCommandLength, Fatal: true,
			Reason: fmt.Sprintf("command_length is %d in %d octets", n, len(frame)),
		}
	}
	if p.Body == nil {
		return p, &Error{
			Command: command, Sequence: p.Sequence, Status: StatusInvalidCommandID,
			Reason: "unknown command",
		}
	}
	r := reader{b: frame[headerLength:], lenient: command.IsResponse()}
	p.Body.read(&r)
	if r.reason != "" {
		return p, &Error{Command: command, Sequence: p.Sequence, Status: r.status, Reason: r.reason}
	}
	return p, nil
}

// Error is a defect in a PDU, to be answered with Status. Unless it is Fatal, the end
// of the PDU is known, and the next one can be read.
type Error struct {
	Command  Command
	Sequence uint32
	Status   Status
	Fatal    bool // the rest of the stream cannot be decoded
	Reason   string
}

func (e *Error) Error() string {
	return fmt.Sprintf("read %s: %s", e.Command, e.Reason)
}
