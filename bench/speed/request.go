package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// life is one verification of the load.
type life struct {
	index    int     // index of its number
	kept     [2]text // values from the answer of its start, sent with its check
	answered int64   // time of the complete answer, in nanoseconds since 1970
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

// pinOf returns the code of a verification, which its start sets.
func pinOf(index int) int { return 1000 + index%9000 }

// call is one kind of request, with the conditions for a right answer.
type call struct {
	head     pattern
	body     pattern
	status   int
	contains []byte
	match    *regexp.Regexp // nil for any answer
	keep     [2][]byte      // quoted names of JSON members to keep; nil if unused
}

// pattern is text with placeholders.
type pattern []piece

type piece struct {
	text string
	fill string // placeholder after text: number, pin, kept0 or kept1; "" for the end
}

// parsePattern parses text with the placeholders {number}, {pin} and the names in keep in braces.
// Other braces are text.
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

// ask is the description of a call.
type ask struct {
	Method   string            `json:"method"` // POST if empty
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Status   int               `json:"status"`   // status of a right answer; 200 if 0
	Contains string            `json:"contains"` // text in its body; "" for any
	Match    string            `json:"match"`    // regular expression for its body; "" for any
	Keep     []string          `json:"keep"`     // text members of its JSON body for later requests, at most two
}

// compile returns the call, which may use the kept members of the start.
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

// append writes the whole request. It uses scratch for the body.
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

// judge reports whether an answer is right, and saves its members to keep.
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

// member returns the text of a JSON member by its quoted name; nil if it is missing. It is not a
// full parser: the text must not contain quotes.
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
