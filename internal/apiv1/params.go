package apiv1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"countersign/internal/verify"
	"countersign/internal/web"
)

// params are the parameters of a request, from query and body. Only request_ids may have
// several values.
type params map[string][]string

// listParam is the only repeatable parameter.
const listParam = "request_ids"

// maxParams limits the parameters of a request; the longest valid request has 20.
const maxParams = 100

// get returns the value of a parameter; "" if it is absent or empty, which clients do not
// distinguish.
func (p params) get(name string) string {
	if v := p[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// flat returns every parameter as one value, as covered by a signature.
func (p params) flat() map[string]string {
	flat := make(map[string]string, len(p))
	for name, values := range p {
		flat[name] = strings.Join(values, ",")
	}
	return flat
}

// Reasons to refuse a request.
const (
	reasonTooMany  = "more than 100 parameters"
	reasonNotUTF8  = "not UTF-8"
	reasonNUL      = "a NUL character"
	reasonRepeated = "given more than once with different values"
	reasonConflict = "the values in query and body differ"
	reasonCutOff   = "ends too early"
)

// readParams returns the parameters of a request. SDKs send them in the query, in a form,
// in a JSON object, or in two of these; a parameter in both must have equal values. known
// are the parameters of the endpoint. numbers are the parameters given as a JSON number
// with a fraction or an exponent.
func readParams(r *http.Request, known []string) (p params, numbers []string, err error) {
	if r.URL.RawQuery != "" {
		if p, err = parseForm(r.URL.RawQuery); err != nil {
			return nil, nil, verify.Invalid("query", err.Error())
		}
	}
	if r.Method == http.MethodPost {
		var body params
		if body, numbers, err = readBody(r, known); err != nil {
			return nil, nil, err
		}
		if err := p.checkRepeats(); err != nil {
			return nil, nil, err
		}
		if err := body.checkRepeats(); err != nil {
			return nil, nil, err
		}
		if len(p) == 0 {
			p = body
		} else if err := p.merge(body); err != nil {
			return nil, nil, err
		}
	}
	return p, numbers, p.check()
}

// Defects of a form or query. They do not quote it, since the defective part may contain
// a secret.
var (
	errForm      = errors.New(`"%" without two hexadecimal digits`)
	errSemicolon = errors.New(`";" must be written as %3B`)
)

// parseForm parses a form or a query. Its error names the first defect.
func parseForm(text string) (params, error) {
	values, err := url.ParseQuery(text)
	if err == nil {
		return params(values), nil
	}
	for part := range strings.SplitSeq(text, "&") {
		if strings.Contains(part, ";") {
			return nil, errSemicolon
		}
		if _, err := url.QueryUnescape(part); err != nil {
			break
		}
	}
	return nil, errForm
}

// merge adds the parameters of the body to the query.
func (p params) merge(body params) error {
	for name, values := range body {
		switch {
		case name == listParam:
			values = append(p[name], values...)
		case values[0] == "" && p.get(name) != "":
			continue // absent here
		case p.get(name) != "" && p.get(name) != values[0]:
			return invalidName(name, reasonConflict)
		}
		p[name] = values
	}
	return nil
}

func (p params) check() error {
	if len(p) > maxParams {
		return verify.Invalid("body", reasonTooMany)
	}
	for name, values := range p {
		for _, v := range values {
			if !utf8.ValidString(name) || !utf8.ValidString(v) {
				return invalidName(name, reasonNotUTF8)
			}
			if strings.ContainsRune(v, 0) {
				return invalidName(name, reasonNUL)
			}
		}
	}
	return p.checkRepeats()
}

// checkRepeats refuses a parameter with several different values, and reduces equal
// values to one.
func (p params) checkRepeats() error {
	for name, values := range p {
		if len(values) < 2 || name == listParam {
			continue
		}
		for _, v := range values[1:] {
			if v != values[0] {
				return invalidName(name, reasonRepeated)
			}
		}
		p[name] = values[:1]
	}
	return nil
}

// normalizeNumbers replaces JSON numbers with the result of [numberValue]. It must follow
// the signature check, which covers the original text.
func (p params) normalizeNumbers(numbers []string) {
	for _, name := range numbers {
		p[name] = []string{numberValue(p.get(name))}
	}
}

// invalidName returns an error naming the parameter, unless the name itself is invalid.
func invalidName(name, reason string) error {
	if len(name) > 64 || !utf8.ValidString(name) || !printable(name) {
		return verify.Invalid("body", "a parameter: "+reason)
	}
	return verify.Invalid(name, reason)
}

// Media types of a body.
const (
	typeForm = "application/x-www-form-urlencoded"
	typeJSON = "application/json"
)

func readBody(r *http.Request, known []string) (p params, numbers []string, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if isTooLarge(err) {
			return nil, nil, err
		}
		return nil, nil, verify.Invalid("body", reasonCutOff) // the client disconnected
	}
	body = web.TrimBOM(body)
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil, nil
	}
	switch kind := web.MediaType(r.Header.Get("Content-Type")); kind {
	case typeForm, "":
		if p, err = parseForm(strings.TrimRight(string(body), "\r\n")); err != nil {
			return nil, nil, verify.Invalid("body", err.Error())
		}
		return p, nil, nil
	case typeJSON:
		return parseJSON(body, known)
	default:
		return nil, nil, verify.Invalid("Content-Type", quoted(kind)+" is neither "+typeJSON+" nor "+typeForm)
	}
}
