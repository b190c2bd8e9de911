package httpsms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxSegments = 16
	anyElement  = "*"
)

// path identifies values in JSON. Its segments are names of members, indexes of elements
// from 0, and "*" for every element. In text they are separated by dots.
type path []string

func parsePath(s string) (path, error) {
	if s == "" {
		return nil, errors.New("path is empty")
	}
	p := path(strings.Split(s, "."))
	if len(p) > maxSegments {
		return nil, fmt.Errorf("path has more than %d segments", maxSegments)
	}
	for _, segment := range p {
		if segment == "" {
			return nil, fmt.Errorf("path %q has an empty segment", s)
		}
		if strings.ContainsAny(segment, " \t\r\n\"=") {
			return nil, fmt.Errorf("path %q has a space, a quote or a %q", s, "=")
		}
	}
	return p, nil
}

// leaf is the value at a path: the text of a string, a number, true, false or null. Lists
// and objects count as missing.
type leaf struct {
	text    string
	null    bool
	missing bool
}

// find returns the values at p in doc: one leaf, or several if p has a "*".
func (p path) find(doc any) []leaf {
	if len(p) == 0 {
		return []leaf{leafOf(doc)}
	}
	rest := p[1:]
	switch node := doc.(type) {
	case map[string]any:
		if value, ok := node[p[0]]; ok {
			return rest.find(value)
		}
	case []any:
		if p[0] == anyElement && len(node) > 0 {
			var all []leaf
			for _, value := range node {
				all = append(all, rest.find(value)...)
			}
			return all
		}
		if i, err := strconv.Atoi(p[0]); err == nil && i >= 0 && i < len(node) {
			return rest.find(node[i])
		}
	}
	return []leaf{{missing: true}}
}

// node returns the value at p in doc; nil if it is missing. p must have no "*".
func (p path) node(doc any) any {
	for _, segment := range p {
		switch node := doc.(type) {
		case map[string]any:
			doc = node[segment]
		case []any:
			i, err := strconv.Atoi(segment)
			if err != nil || i < 0 || i >= len(node) {
				return nil
			}
			doc = node[i]
		default:
			return nil
		}
	}
	return doc
}

func leafOf(value any) leaf {
	switch v := value.(type) {
	case string:
		return leaf{text: v}
	case json.Number:
		return leaf{text: v.String()}
	case bool:
		return leaf{text: strconv.FormatBool(v)}
	case nil:
		return leaf{text: "null", null: true}
	default:
		return leaf{missing: true}
	}
}

// decodeJSON decodes data, which must be one JSON value. Numbers keep all digits, since an
// id may exceed the precision of a float64.
func decodeJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var doc any
	if err := decoder.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return doc, nil
}
