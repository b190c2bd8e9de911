package softphone

import (
	"net"
	"strings"
)

// odd rewrites the headers of a message in valid but unusual spelling (RFC 3261 §7.3.1,
// §7.3.3, §25.1): compact names, folded lines, white space around separators and
// capitals in parameter names. The body is unchanged.
func odd(message []byte) []byte {
	head, body, ok := strings.Cut(string(message), "\r\n\r\n")
	if !ok {
		return message
	}
	lines := strings.Split(head, "\r\n")
	for i, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Via":
			line = "v : SIP / 2.0 / " + strings.NewReplacer(";branch=", ";\r\n Branch = ", ";rport", " ;RPORT", ";received=", " ; Received = ").
				Replace(strings.TrimPrefix(value, "SIP/2.0/"))
		case "From":
			line = "f:" + strings.Replace(value, ";tag=", " ;Tag = ", 1)
		case "To":
			line = "TO\t: " + strings.Replace(value, ";tag=", "\r\n\t; TAG=", 1)
		case "Contact":
			line = "m: " + strings.Replace(value, ">;expires=", "> ; EXPIRES = ", 1)
		case "Call-ID":
			line = "i: " + value
		case "CSeq":
			line = "CSEQ:  " + strings.Replace(value, " ", " \t", 1)
		case "Content-Length":
			line = "l :" + value
		}
		lines[i+1] = line
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
}

// oddPackets sends odd messages.
type oddPackets struct{ net.PacketConn }

// WriteTo implements [net.PacketConn].
func (c oddPackets) WriteTo(message []byte, to net.Addr) (int, error) {
	if _, err := c.PacketConn.WriteTo(odd(message), to); err != nil {
		return 0, err
	}
	return len(message), nil
}

// oddListener accepts connections that send odd messages. Each write is a message.
type oddListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l oddListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return oddConn{conn}, nil
}

type oddConn struct{ net.Conn }

// Write implements [net.Conn].
func (c oddConn) Write(message []byte) (int, error) {
	if _, err := c.Conn.Write(odd(message)); err != nil {
		return 0, err
	}
	return len(message), nil
}
