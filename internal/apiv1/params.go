package apiv1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"countersign/internal/verify"
)

// params are the parameters of a call, from the query and the body together. Only
// request_ids may have several values.
type params map[string][]string

// listParam is the one parameter that may be repeated.
const listParam = "request_ids"

// maxParams bounds the parameters of one call; the longest has 20.
const maxParams = 100

// get is the value of a parameter; "" when it was not given or is empty, which
// clients do not tell apart.
func (p params) get(name string) string {
	if v := p[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// flat is every parameter with one value, as a signature covers them.
func (p params) flat() map[string]string {
	flat := make(map[string]string, len(p))
	for name, values := range p {
		flat[name] = strings.Join(values, ",")
	}
	return flat
}

// errBody and errQuery refuse what cannot be taken apart, so that no parameter
// can be named.
var (
	errBody        = verify.Invalid("body")
	errQuery       = verify.Invalid("query")
	errContentType = verify.Invalid("Content-Type")
)

// readParams collects the parameters. SDKs put them in the query, in a form or in
// a JSON object, and some in two of these at once; one that stands in both places
// must say the same in both.
func readParams(r *http.Request) (params, error) {
	var p params
	if r.URL.RawQuery != "" {
		var err error
		if p, err = parseForm(r.URL.RawQuery); err != nil {
			return nil, errQuery
		}
	}
	if r.Method == http.MethodPost {
		body, err := readBody(r)
		if err != nil {
			return nil, err
		}
		if err := p.checkRepeats(); err != nil {
			return nil, err
		}
		if err := body.checkRepeats(); err != nil {
			return nil, err
		}
		if len(p) == 0 {
			p = body
		} else if err := p.merge(body); err != nil {
			return nil, err
		}
	}
	return p, p.check()
}

// merge adds the parameters of the body to those of the query.
func (p params) merge(body params) error {
	for name, values := range body {
		switch {
		case name == listParam:
			values = append(p[name], values...)
		case values[0] == "" && p.get(name) != "":
			continue // not given here
		case p.get(name) != "" && p.get(name) != values[0]:
			return invalidName(name)
		}
		p[name] = values
	}
	return nil
}

func (p params) check() error {
	if len(p) > maxParams {
		return errBody
	}
	for name, values := range p {
		for _, v := range values {
			if !utf8.ValidString(name) || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return invalidName(name)
			}
		}
	}
	return p.checkRepeats()
}

func (p params) checkRepeats() error {
	for name, values := range p {
		if len(values) > 1 && name != listParam {
			return invalidName(name)
		}
	}
	return nil
}

// invalidName names a parameter in an error, unless the name itself is broken.
func invalidName(name string) error {
	if len(name) > 64 || !utf8.ValidString(name) || !printable(name) {
		return errBody
	}
	return verify.Invalid(name)
}

// Types of a body.
const (
	typeForm = "application/x-www-form-urlencoded"
	typeJSON = "application/json"
)

func readBody(r *http.Request) (params, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if isTooLarge(err) {
			return nil, err
		}
		return nil, errBody // the client broke off
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	kind := r.Header.Get("Content-Type")
	if kind != "" && kind != typeForm && kind != typeJSON { // as nearly everybody writes them
		if kind, _, err = mime.ParseMediaType(kind); err != nil {
			return nil, errContentType
		}
	}
	switch kind {
	case typeForm, "":
		form, err := parseForm(string(body))
		if err != nil {
			return nil, errBody
		}
		return form, nil
	case typeJSON:
		return parseJSON(body)
	}
	return nil, errContentType
}

// parseJSON reads an object of scalars.
func parseJSON(body []byte) (params, error) {
	if !utf8.Valid(body) {
		return nil, errBody
	}
	if p, ok := parsePlainJSON(string(body)); ok {
		return p, nil
	}
	return parseAnyJSON(body)
}

// parseAnyJSON reads token by token, since a name that stands there twice must be
// refused and not silently be the last.
func parseAnyJSON(body []byte) (params, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // "amount":48.10 is text here, not a float
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errBody
	}
	p := params{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, errBody
		}
		name := t.(string) // the decoder has checked that
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, errBody
		}
		values, err := parseJSONValue(name, raw)
		if err != nil {
			return nil, err
		}
		if _, again := p[name]; again {
			return nil, invalidName(name)
		}
		if len(p) == maxParams {
			return nil, errBody
		}
		p[name] = values
	}
	if _, err := dec.Token(); err != nil {
		return nil, errBody
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errBody
	}
	for name, values := range p {
		if len(values) == 0 { // null, or no ids: not given
			delete(p, name)
		}
	}
	return p, nil
}

func parseJSONValue(name string, raw json.RawMessage) ([]string, error) {
	if raw[0] == '[' && name == listParam {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, invalidName(name)
		}
		var values []string
		for _, item := range list {
			v, err := parseJSONScalar(item)
			if err != nil || v == nil {
				return nil, invalidName(name)
			}
			values = append(values, *v)
		}
		return values, nil
	}
	v, err := parseJSONScalar(raw)
	if err != nil {
		return nil, invalidName(name)
	}
	if v == nil {
		return nil, nil
	}
	return []string{*v}, nil
}

// parseJSONScalar gives a string or a number as text, and null as nil.
func parseJSONScalar(raw json.RawMessage) (*string, error) {
	var text string
	switch c := raw[0]; {
	case c == 'n':
		return nil, nil
	case c == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
	case c == '-', c >= '0' && c <= '9':
		text = string(raw)
	default:
		return nil, fmt.Errorf("neither text nor a number")
	}
	return &text, nil
}
