// Package pdu is the codec of SMPP 3.4: the protocol data units that an ESME (an
// application) and an SMSC (a carrier) exchange, as Go values and as octets.
//
// It is strict in what it writes: a value that breaks the specification (a field
// too long, a control character in a text field, a message given twice) is an
// error and no octet is written. It is tolerant in what it reads, as far as the
// meaning stays clear: texts longer than allowed or without their terminator,
// missing bodies of responses, unknown optional parameters and a tail that is
// none are accepted. What is not clear is an [*Error] that says how to answer.
//
// Sections (§) are those of "Short Message Peer to Peer Protocol Specification
// v3.4", issue 1.2. The package must not know connections, timers or what a
// message says.
package pdu

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxLength bounds what is read and written as one PDU, in octets. The longest
// that is of use holds a message_payload, whose length is 16 bits (§5.3.2.32).
const MaxLength = 70_000

const headerLength = 16

// PDU is one protocol data unit (§3.2).
type PDU struct {
	Status   Status // of a response; 0 in requests
	Sequence uint32 // 1 to 0x7FFFFFFF; a response has that of its request
	Body     Body
}

// Body is what follows the header. The types of this package are all there are.
type Body interface {
	// Command is the command_id.
	Command() Command

	// write takes and gives the writer as a value, so that it stays off the heap.
	write(w writer) writer
	read(r *reader)
}

// Append appends the octets of p to b. With an error it returns b as it was. The
// body of a response whose Status forbids one (§4.1.2, §4.4.2) is left out.
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

// Decode reads one whole PDU, header included. The values do not refer to frame
// afterwards. An error is an [*Error].
func Decode(frame []byte) (PDU, error) {
	if len(frame) < headerLength {
		return PDU{}, &Error{Status: StatusInvalidCommandLength, Fatal: true, Reason: fmt.Sprintf("%d octets are no header", len(frame))}
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

// Error is what cannot be read. Unless it is Fatal, the PDU's end is known, and
// reading goes on after it once it was answered with Status.
type Error struct {
	Command  Command
	Sequence uint32
	Status   Status
	Fatal    bool // the stream makes no sense from here on
	Reason   string
}

func (e *Error) Error() string {
	return fmt.Sprintf("read %s: %s", e.Command, e.Reason)
}
