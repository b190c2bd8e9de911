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

// path leads to values in JSON: names of members, numbers of elements from 0, and
// "*" for every element, with dots between them.
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

// leaf is what a path found: the text of a string, a number, true, false or null.
// Nothing there, a list and an object are all missing.
type leaf struct {
	text    string
	null    bool
	missing bool
}

// find gives what p leads to in doc: always one leaf, unless p has a "*".
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

// node returns the value that p, which has no "*", leads to in doc; nil for none.
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

// decodeJSON reads the one value that data holds. Numbers keep their digits: an id
// may have more of them than a float can tell apart.
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
