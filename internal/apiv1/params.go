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

// Reasons to refuse a request.
const (
	reasonTooMany  = "more than 100 parameters"
	reasonNotUTF8  = "not UTF-8"
	reasonNUL      = "a NUL character"
	reasonRepeated = "given more than once with different values"
	reasonConflict = "the values in query and body differ"
	reasonCutOff   = "ends too early"
)

// readParams collects the parameters. SDKs put them in the query, in a form or in
// a JSON object, and some in two of these at once; one that stands in both places
// must say the same in both. known are the parameters of the call. numbers are the
// parameters whose value is a JSON number with a fraction or an exponent.
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

// Reasons why a form or query cannot be read. They do not repeat it, since the part in
// question may be of a secret.
var (
	errForm      = errors.New(`"%" without two hexadecimal digits`)
	errSemicolon = errors.New(`";" must be written as %3B`)
)

// parseForm reads a form or a query. Its error names the first defect.
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

// merge adds the parameters of the body to those of the query.
func (p params) merge(body params) error {
	for name, values := range body {
		switch {
		case name == listParam:
			values = append(p[name], values...)
		case values[0] == "" && p.get(name) != "":
			continue // not given here
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

// checkRepeats refuses a parameter that is given twice with different values, and
// reduces equal values to one.
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

// normalizeNumbers replaces JSON numbers by the form that [numberValue] returns. It must
// follow the check of the signature, which covers the form in the body.
func (p params) normalizeNumbers(numbers []string) {
	for _, name := range numbers {
		p[name] = []string{numberValue(p.get(name))}
	}
}

// invalidName names a parameter in an error, unless the name itself is broken.
func invalidName(name, reason string) error {
	if len(name) > 64 || !utf8.ValidString(name) || !printable(name) {
		return verify.Invalid("body", "a parameter: "+reason)
	}
	return verify.Invalid(name, reason)
}

// Types of a body.
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
		return nil, nil, verify.Invalid("body", reasonCutOff) // the client broke off
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
