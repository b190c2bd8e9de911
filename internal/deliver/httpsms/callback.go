package httpsms

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/web"
)

const (
	maxCallback = 1 << 20 // bytes of a body
	maxBatch    = 1000    // receipts; each may have 1 KiB
)

var errBatch = fmt.Errorf("more than %d receipts", maxBatch)

// field identifies a value of a callback: in a form, in JSON, or in the query of the URL.
type field struct {
	name  string
	path  path
	query string // NAME of a field "query.NAME"; "" for other fields
}

// inQuery is the prefix of a field in the query of the URL, independent of the body.
const inQuery = "query."

func parseField(name string) (field, error) {
	p, err := parsePath(name)
	f := field{name: name, path: p}
	if rest, ok := strings.CutPrefix(name, inQuery); ok {
		f.query = rest
	}
	return f, err
}

// sharesLists returns an error if f has a "*" that does not belong to a list of ref:
// the element of a receipt would be ambiguous.
func (f field) sharesLists(ref field) error {
	for i, segment := range f.path {
		if segment == anyElement && (i >= len(ref.path) || !slices.Equal(f.path[:i+1], ref.path[:i+1])) {
			return fmt.Errorf("%q has a %q that receipts.ref, %q, lacks: both must refer to the same list",
				f.name, anyElement, ref.name)
		}
	}
	return nil
}

// lookup returns a value of one receipt; ok is false if it is missing or empty.
type lookup func(field) (string, bool)

// readCallback returns the receipts of a callback: a query (GET), a form or JSON (POST).
// JSON may have a list of receipts at the top level, or at any depth where ref has a
// "*"; an empty list has no receipts. The error is errBatch, an *http.MaxBytesError, or
// describes the defect of the body.
func readCallback(w http.ResponseWriter, r *http.Request, ref field) ([]lookup, error) {
	query := r.URL.Query()
	if r.Method == http.MethodGet {
		return []lookup{inForm(query, query)}, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	text := strings.TrimSpace(string(web.TrimBOM(body)))
	media := web.MediaType(r.Header.Get("Content-Type"))
	// Some gateways send JSON with a text type. A form never begins like JSON.
	if media == "application/json" || media != "application/x-www-form-urlencoded" && strings.IndexAny(text, "{[") == 0 {
		doc, err := decodeJSON([]byte(text))
		if err != nil {
			return nil, errors.New("body is not JSON")
		}
		return readJSON(doc, query, ref)
	}
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, errors.New("body is not a form")
	}
	for name, list := range query {
		if !form.Has(name) {
			form[name] = list
		}
	}
	return []lookup{inForm(form, query)}, nil
}

func inForm(form, query url.Values) lookup {
	return func(f field) (string, bool) {
		value := form.Get(f.name)
		if f.query != "" && query.Has(f.query) {
			value = query.Get(f.query)
		}
		return value, value != ""
	}
}

func readJSON(doc any, query url.Values, ref field) ([]lookup, error) {
	list, ok := doc.([]any)
	if !ok || ref.path[0] == anyElement {
		list = []any{doc}
	}
	var all []lookup
	for _, item := range list {
		for _, element := range ref.path.elements(item, maxBatch) {
			all = append(all, inJSON(item, element, query))
		}
		if len(all) > maxBatch {
			return nil, errBatch
		}
	}
	return all, nil
}

// inJSON returns a lookup for the receipt at the path element.
func inJSON(doc any, element path, query url.Values) lookup {
	return func(f field) (string, bool) {
		if f.query != "" && query.Has(f.query) {
			value := query.Get(f.query)
			return value, value != ""
		}
		l := f.path.at(element).find(doc)[0]
		return l.text, !l.missing && !l.null && l.text != ""
	}
}

// elements returns a copy of p for every matching element of doc, with each "*" replaced
// by the index of the element. It stops after limit+1 paths. A "*" remains if doc has no
// list there; the value at such a path is missing.
func (p path) elements(doc any, limit int) []path {
	i := slices.Index(p, anyElement)
	if i < 0 {
		return []path{p}
	}
	list, ok := p[:i].node(doc).([]any)
	if !ok {
		return []path{p}
	}
	var all []path
	for n := range list {
		one := slices.Clone(p)
		one[i] = strconv.Itoa(n)
		all = append(all, one.elements(doc, limit-len(all))...)
		if len(all) > limit {
			break
		}
	}
	return all
}

// at returns p with each "*" replaced by the segment of element at the same position.
func (p path) at(element path) path {
	one := slices.Clone(p)
	for i, segment := range one {
		if segment == anyElement && i < len(element) {
			one[i] = element[i]
		}
	}
	return one
}
