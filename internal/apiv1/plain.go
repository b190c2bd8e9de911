package apiv1

import (
	"errors"
	"net/url"
	"strings"
)

// holder makes the lists of the parameters' values out of one allocation for several.
type holder []string

func (h *holder) list(value string) []string {
	if len(*h) == cap(*h) {
		*h = make([]string, 0, 8)
	}
	*h = append(*h, value)
	last := len(*h)
	return (*h)[last-1 : last : last]
}

// Reasons why a form or query cannot be read. They do not repeat it, since the part in
// question may be of a secret.
var (
	errForm      = errors.New(`"%" without two hexadecimal digits`)
	errSemicolon = errors.New(`";" must be written as %3B`)
)

// parseForm is [url.ParseQuery] with fewer allocations.
func parseForm(text string) (params, error) {
	if strings.Count(text, "&") > maxParams {
		q, err := url.ParseQuery(text) // which has a bound of its own
		if err != nil {
			return nil, errForm
		}
		return params(q), nil
	}
	p := make(params, 1+strings.Count(text, "&"))
	var lists holder
	for part := range strings.SplitSeq(text, "&") {
		if strings.Contains(part, ";") {
			return nil, errSemicolon
		}
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name) // itself where nothing is escaped
		if err != nil {
			return nil, errForm
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, errForm
		}
		if p[name] == nil {
			p[name] = lists.list(value)
		} else {
			p[name] = append(p[name], value)
		}
	}
	return p, nil
}

// parsePlainJSON reads an object of texts without escapes and of numbers without sign
// and fraction, as nearly every SDK sends it: encoding/json takes ten allocations for
// each field. ok is false for everything else, right or wrong, which parseJSON reads.
// The body is UTF-8.
func parsePlainJSON(body string) (p params, ok bool) {
	rest, ok := strings.CutPrefix(skipSpace(body), "{")
	if !ok {
		return nil, false
	}
	p = make(params, 8)
	var lists holder
	for {
		var name, value string
		if name, rest, ok = plainText(skipSpace(rest)); !ok {
			return nil, false
		}
		if rest, ok = strings.CutPrefix(skipSpace(rest), ":"); !ok {
			return nil, false
		}
		rest = skipSpace(rest)
		if value, rest, ok = plainText(rest); !ok {
			if value, rest, ok = plainNumber(rest); !ok {
				return nil, false
			}
		}
		if p[name] != nil || len(p) == maxParams {
			return nil, false
		}
		p[name] = lists.list(value)
		if rest = skipSpace(rest); rest == "" {
			return nil, false
		}
		switch rest[0] {
		case ',':
			rest = rest[1:]
		case '}':
			return p, skipSpace(rest[1:]) == ""
		default:
			return nil, false
		}
	}
}

func skipSpace(text string) string { return strings.TrimLeft(text, " \t\r\n") }

// plainText reads a string without escapes.
func plainText(text string) (value, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		return "", text, false
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return text[1:i], text[i+1:], true
		case c == '\\' || c < ' ':
			return "", text, false
		}
	}
	return "", text, false
}

// plainNumber reads a natural number. What follows tells whether it was all of it.
func plainNumber(text string) (value, rest string, ok bool) {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return text[:n], text[n:], n > 0 && (text[0] != '0' || n == 1)
}
