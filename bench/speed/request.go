package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// life is one verification, as far as the load knows it.
type life struct {
	index    int     // of its number
	kept     [2]text // what the answer to its start said, to be told with the check
	answered int64   // when all of that answer was read: nanoseconds since 1970
}

// text is a short text without an allocation.
type text struct {
	length  uint8
	letters [63]byte
}

func (t *text) set(b []byte) bool {
	t.length = uint8(copy(t.letters[:], b))
	return int(t.length) == len(b)
}

func (t *text) bytes() []byte { return t.letters[:t.length] }

// pinOf is the code of a verification, which its start asks for.
func pinOf(index int) int { return 1000 + index%9000 }

// call is one kind of request: what is asked, and which answers are right.
type call struct {
	head     pattern
	body     pattern
	status   int
	contains []byte
	match    *regexp.Regexp // nil for any answer
	keep     [2][]byte      // JSON members, as they stand in the answer; nil for none
}

// pattern is text with gaps.
type pattern []piece

type piece struct {
	text string
	fill string // what follows it: number, pin, kept0, kept1; "" for nothing
}

// parsePattern reads text in which {number}, {pin} and the names in keep stand for
// what is different each time. Other braces are text.
func parsePattern(s string, keep []string) pattern {
	names := map[string]string{"{number}": "number", "{pin}": "pin"}
	for i, name := range keep {
		names["{"+name+"}"] = "kept" + strconv.Itoa(i)
	}
	var p pattern
	from := 0
	for i := 0; i < len(s); i++ {
		for name, fill := range names {
			if strings.HasPrefix(s[i:], name) {
				p = append(p, piece{s[from:i], fill})
				from = i + len(name)
				i = from - 1
				break
			}
		}
	}
	return append(p, piece{text: s[from:]})
}

func (p pattern) append(buf []byte, n numbers, l *life) []byte {
	for _, piece := range p {
		buf = append(buf, piece.text...)
		switch piece.fill {
		case "number":
			buf = n.append(buf, l.index)
		case "pin":
			buf = strconv.AppendInt(buf, int64(pinOf(l.index)), 10)
		case "kept0":
			buf = append(buf, l.kept[0].bytes()...)
		case "kept1":
			buf = append(buf, l.kept[1].bytes()...)
		}
	}
	return buf
}

// ask is what a call is made of.
type ask struct {
	Method   string            `json:"method"` // POST if empty
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Status   int               `json:"status"`   // that a right answer has; 200 if 0
	Contains string            `json:"contains"` // text that its body has; "" for any
	Match    string            `json:"match"`    // regular expression for its body; "" for any
	Keep     []string          `json:"keep"`     // members of a JSON body, texts, that later requests may name: at most two
}

// compile makes a call, which may name what the start keeps.
func (a ask) compile(host string, kept []string) (*call, error) {
	c := &call{status: a.Status, contains: []byte(a.Contains)}
	if c.status == 0 {
		c.status = 200
	}
	method := a.Method
	if method == "" {
		method = "POST"
	}
	if !strings.HasPrefix(a.Path, "/") {
		return nil, fmt.Errorf("path: must begin with /, not %q", a.Path)
	}
	head := method + " " + a.Path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: countersign-bench\r\nAccept: application/json\r\n"
	if _, ok := a.Headers["Content-Type"]; !ok && a.Body != "" {
		head += "Content-Type: application/x-www-form-urlencoded\r\n"
	}
	for name, value := range a.Headers {
		head += name + ": " + value + "\r\n"
	}
	if a.Match != "" {
		var err error
		if c.match, err = regexp.Compile(a.Match); err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
	}
	if len(a.Keep) > len(c.keep) {
		return nil, fmt.Errorf("keep: at most %d members", len(c.keep))
	}
	for i, name := range a.Keep {
		c.keep[i] = []byte(`"` + name + `"`)
	}
	c.head, c.body = parsePattern(head, kept), parsePattern(a.Body, kept)
	return c, nil
}

// append writes the whole request. scratch is for its body, and is reused.
func (c *call) append(buf, scratch []byte, n numbers, l *life) (request, body []byte) {
	body = c.body.append(scratch[:0], n, l)
	buf = c.head.append(buf[:0], n, l)
	if len(body) > 0 {
		buf = append(buf, "Content-Length: "...)
		buf = strconv.AppendInt(buf, int64(len(body)), 10)
		buf = append(buf, "\r\n"...)
	}
	buf = append(buf, "\r\n"...)
	return append(buf, body...), body
}

// judge reports whether an answer is right, and keeps what is to be kept.
func (c *call) judge(status int, body []byte, l *life) bool {
	if status != c.status || !bytes.Contains(body, c.contains) || c.match != nil && !c.match.Match(body) {
		return false
	}
	for i, name := range c.keep {
		if name == nil {
			continue
		}
		value := member(body, name)
		if len(value) == 0 || !l.kept[i].set(value) {
			return false
		}
	}
	return true
}

// member gives the text of a JSON member, whose name stands in quotes; nil if there
// is none. It is not a parser: what is kept has no quotes in it.
func member(body, name []byte) []byte {
	at := bytes.Index(body, name)
	if at < 0 {
		return nil
	}
	rest := bytes.TrimLeft(body[at+len(name):], ": \t\r\n")
	if len(rest) == 0 || rest[0] != '"' {
		return nil
	}
	end := bytes.IndexByte(rest[1:], '"')
	if end < 0 {
		return nil
	}
	return rest[1 : end+1]
}
