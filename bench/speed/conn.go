package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// conn is a persistent HTTP/1.1 connection. It reads answers to short requests without
// allocations: the load must use little CPU time, because the server runs on the same
// machine.
type conn struct {
	net.Conn
	buf  []byte
	from int // position in buf of the first unused octet
	till int

	request, scratch []byte
}

const (
	dialTimeout = 5 * time.Second
	maxAnswer   = 1 << 20
)

func dial(ctx context.Context, address string, until time.Time) (*conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, buf: make([]byte, 8<<10)}, c.SetDeadline(until)
}

// do makes a call for a verification, and reports whether the answer was right. The body is valid
// until the next call.
func (c *conn) do(what *call, n numbers, l *life) (ok bool, body []byte, err error) {
	c.request, c.scratch = what.append(c.request, c.scratch, n, l)
	if _, err := c.Write(c.request); err != nil {
		return false, nil, err
	}
	status, body, err := c.answer()
	if err != nil {
		return false, nil, err
	}
	return what.judge(status, body, l), body, nil
}

var (
	errAnswer = errors.New("not an answer of HTTP/1.1")
	errLong   = errors.New("answer too long")
)

// answer reads one answer.
func (c *conn) answer() (status int, body []byte, err error) {
	c.from, c.till = 0, 0 // one answer per request, so no octets are left over
	end := -1
	for end < 0 {
		if err := c.more(); err != nil {
			return 0, nil, err
		}
		end = bytes.Index(c.buf[:c.till], []byte("\r\n\r\n"))
	}
	head := c.buf[:end+2]
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return 0, nil, errAnswer
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, nil, errAnswer
	}
	c.from = end + 4
	if v := header(head, "transfer-encoding"); bytes.EqualFold(v, []byte("chunked")) {
		body, err = c.chunks()
		return status, body, err
	}
	length := 0
	if v := header(head, "content-length"); v != nil {
		if length, err = strconv.Atoi(string(v)); err != nil || length < 0 {
			return 0, nil, errAnswer
		}
	}
	for c.till-c.from < length {
		if err := c.more(); err != nil {
			return 0, nil, err
		}
	}
	return status, c.buf[c.from : c.from+length], nil
}

// more reads available octets.
func (c *conn) more() error {
	if c.till == len(c.buf) {
		if len(c.buf) >= maxAnswer {
			return errLong
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.Read(c.buf[c.till:])
	c.till += n
	if n > 0 {
		return nil
	}
	return err
}

// chunks reads a chunked body, and closes the gaps between the chunks.
func (c *conn) chunks() ([]byte, error) {
	begin, at := c.from, c.from // start of the body, and position of the next chunk
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseUint(string(line), 16, 20)
		if err != nil {
			return nil, fmt.Errorf("%w: chunk of %q", errAnswer, line)
		}
		for c.till-c.from < int(size)+2 {
			if err := c.more(); err != nil {
				return nil, err
			}
		}
		at += copy(c.buf[at:], c.buf[c.from:c.from+int(size)])
		c.from += int(size) + 2
		if size == 0 {
			return c.buf[begin:at], nil
		}
	}
}

// line reads up to the end of a line.
func (c *conn) line() ([]byte, error) {
	for {
		if n := bytes.Index(c.buf[c.from:c.till], []byte("\r\n")); n >= 0 {
			line := c.buf[c.from : c.from+n]
			c.from += n + 2
			return line, nil
		}
		if err := c.more(); err != nil {
			return nil, err
		}
	}
}

// header returns the value of a header, with its name in lower case; nil if it is missing.
func header(head []byte, name string) []byte {
	for {
		at := bytes.Index(head, []byte("\r\n"))
		if at < 0 {
			return nil
		}
		head = head[at+2:]
		if len(head) > len(name) && head[len(name)] == ':' && bytes.EqualFold(head[:len(name)], []byte(name)) {
			value := head[len(name)+1:]
			if end := bytes.IndexByte(value, '\r'); end >= 0 {
				value = value[:end]
			}
			return bytes.TrimSpace(value)
		}
	}
}
