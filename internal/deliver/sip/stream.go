package sip

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// streams normalises the messages of connections. A read over TCP or TLS may end
// anywhere in a message, so each head is collected first. The zero value is ready to
// use.
type streams struct {
	passes func(from netip.AddrPort, head []byte) bool // reports whether to pass a message; nil passes all

	mu    sync.Mutex
	parts map[string]*part // keyed by the addresses of the connection
}

// part is the incomplete message of a connection.
type part struct {
	head []byte    // head read so far
	body int       // missing bytes of the body
	drop bool      // the head was dropped, so the body is dropped
	last time.Time // time of the last read
}

// partLife bounds the life of a part whose connection ended within a message.
const partLife = time.Minute

var errHeadTooLong = errors.New("head of a message is too long")

// filter is the [sip.TransportReadFilter] of a trunk. If it returns no data, sipgo
// continues to read. An error closes the connection.
func (s *streams) filter(from sip.TransportReadProps, data []byte) ([]byte, error) {
	if !sip.IsReliable(from.Transport) {
		return normalised(data), nil
	}
	key := from.LocalAddr.String() + " " + from.RemoteAddr.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.parts[key]
	if p == nil {
		p = &part{}
	}
	out, err := p.feed(data, func(head []byte) bool { return s.passes == nil || s.passes(endOf(from.RemoteAddr), head) })
	if p.idle() || err != nil {
		delete(s.parts, key)
		return out, err
	}
	s.keep(key, p)
	return out, nil
}

// endOf converts a; it returns the zero AddrPort if a is not an IP address with a port.
func endOf(a net.Addr) netip.AddrPort {
	end, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return end
}

// keep stores a part and deletes parts older than partLife.
func (s *streams) keep(key string, p *part) {
	now := time.Now()
	p.last = now
	for k, old := range s.parts {
		if now.Sub(old.last) > partLife {
			delete(s.parts, k)
		}
	}
	if s.parts == nil {
		s.parts = map[string]*part{}
	}
	s.parts[key] = p
}

// idle reports whether the connection is between two messages.
func (p *part) idle() bool { return len(p.head) == 0 && p.body == 0 }

// feed processes data and returns the bytes to pass on: complete heads, normalised, and
// bodies. Messages whose head does not pass are left out.
func (p *part) feed(data []byte, passes func(head []byte) bool) (out []byte, err error) {
	for len(data) > 0 {
		if p.body > 0 {
			n := min(p.body, len(data))
			if !p.drop {
				out = append(out, data[:n]...)
			}
			data, p.body = data[n:], p.body-n
			continue
		}
		if len(p.head) == 0 {
			// Keep-alive (RFC 5626 §3.5.1) or line breaks before a start line.
			rest := bytes.TrimLeft(data, "\r\n")
			out, data = append(out, data[:len(data)-len(rest)]...), rest
		}
		before := len(p.head)
		p.head = append(p.head, data...)
		end := bytes.Index(p.head, []byte(endOfHead))
		switch {
		case end+len(endOfHead) > maxHead, end < 0 && len(p.head) >= maxHead:
			return out, errHeadTooLong
		case end < 0:
			return out, nil
		}
		end += len(endOfHead)
		data = data[end-before:]
		head := normalisedHead(p.head[:end])
		if p.drop = !passes(head); !p.drop {
			out = append(out, head...)
		}
		p.head, p.body = nil, contentLength(string(head))
	}
	return out, nil
}

// contentLength returns the Content-Length of a normalised head; 0 if absent, which
// sipgo refuses.
func contentLength(head string) int {
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		if strings.EqualFold(name, "Content-Length") {
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return 0
			}
			return int(n)
		}
	}
	return 0
}
