package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// cut is a point in an exchange of PDUs, after a number of octets of one PDU.
type cut struct {
	command pdu.Command          // 0 for the connection itself
	nth     int                  // PDU of that command, from 1
	passes  func(length int) int // octets that pass, for a PDU of this length
	after   time.Duration        // pause between the last octet and the kill
}

func first(n int) func(int) int { return func(int) int { return n } }
func half(length int) int       { return length / 2 }
func allBut1(length int) int    { return length - 1 }
func whole(length int) int      { return length }

// tap is a listener of an SMSC that passes all data until the cut. Then it kills the peer, which
// ends the connection.
type tap struct {
	net.Listener
	cut  cut
	kill func()

	mu   sync.Mutex
	held bool // the cut is disabled
	seen int  // PDUs of the command of the cut
}

// hold disables the cut until again is called.
func (t *tap) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = true
}

// again enables the cut and restarts its count.
func (t *tap) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held, t.seen = false, 0
}

// reachedBy reports whether a PDU is the one to cut. It does not count responses with an
// error, such as those of a throttling SMSC: such a message did not arrive.
func (t *tap) reachedBy(p []byte) bool {
	return statusOf(p) == 0 && t.reached(commandOf(p))
}

// reached counts a PDU of a command, or a connection (0), and reports whether it is the one to
// cut.
func (t *tap) reached(command pdu.Command) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held || command != t.cut.command {
		return false
	}
	t.seen++
	return t.seen == t.cut.nth
}

// Accept returns the next connection, tapped.
func (t *tap) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t.reached(0) {
		t.kill()
	}
	return &tapped{Conn: conn, tap: t}, nil
}

type tapped struct {
	net.Conn
	tap *tap
	in  []byte // pending octets for the SMSC
	cut bool
}

// Read returns octets sent by the peer. It returns the last octets before the cut only after the
// peer is dead, so that the SMSC acts without it.
func (c *tapped) Read(b []byte) (int, error) {
	for len(c.in) == 0 {
		if c.cut {
			return 0, io.EOF
		}
		head := make([]byte, 16)
		if _, err := io.ReadFull(c.Conn, head); err != nil {
			return 0, err
		}
		p := make([]byte, binary.BigEndian.Uint32(head))
		copy(p, head)
		if _, err := io.ReadFull(c.Conn, p[len(head):]); err != nil {
			return 0, err
		}
		if c.tap.reachedBy(p) {
			lapse(c.tap.cut.after)
			c.tap.kill()
			c.cut, p = true, p[:c.tap.cut.passes(len(p))]
		}
		c.in = p
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

// Write sends whole PDUs to the peer, and kills it after the last octets.
func (c *tapped) Write(b []byte) (int, error) {
	for at := 0; at < len(b); {
		p := b[at : at+int(binary.BigEndian.Uint32(b[at:]))]
		if c.tap.reachedBy(p) {
			_, err := c.Conn.Write(p[:c.tap.cut.passes(len(p))])
			lapse(c.tap.cut.after)
			c.tap.kill()
			if err == nil {
				err = net.ErrClosed
			}
			return at, err
		}
		n, err := c.Conn.Write(p)
		if at += n; err != nil {
			return at, err
		}
	}
	return len(b), nil
}

func commandOf(p []byte) pdu.Command { return pdu.Command(binary.BigEndian.Uint32(p[4:])) }

func statusOf(p []byte) uint32 { return binary.BigEndian.Uint32(p[8:]) }
