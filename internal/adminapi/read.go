package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"countersign/internal/phone"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// read decodes the body, a JSON object that may contain only fields of v.
func (c *exchange) read(v any) error {
	if web.MediaType(c.r.Header.Get("Content-Type")) != "application/json" {
		return &web.Problem{Status: 415, Parameter: "Content-Type", Detail: "must be application/json"}
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return err
	}
	body = web.TrimBOM(body)
	if err := exactNames(body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err = d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("text after the object")
		}
	}
	return bodyProblem(err)
}

// exactNames refuses null, which would decode as an empty object, and names with other
// characters than a-z and _: encoding/json ignores the case of names.
func exactNames(body []byte) error {
	var given map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&given); err != nil {
		return bodyProblem(err)
	}
	if given == nil {
		return &web.Problem{Status: 400, Detail: "the body must be a JSON object"}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" { // other characters do not occur in field names
			return invalid(printable(name), "unknown parameter")
		}
	}
	return nil
}

func bodyProblem(err error) error {
	const unknown = `json: unknown field "`
	kind, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil:
		return nil
	case ok && kind.Field != "":
		// The types of embedded structs precede the name, capitalized.
		name := kind.Field
		for name[0] >= 'A' && name[0] <= 'Z' {
			_, inner, ok := strings.Cut(name, ".")
			if !ok || inner == "" {
				break
			}
			name = inner
		}
		return invalid(name, "must not be a JSON %s", kind.Value)
	case strings.HasPrefix(err.Error(), unknown):
		return invalid(strings.TrimSuffix(strings.TrimPrefix(err.Error(), unknown), `"`), "unknown parameter")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), ok:
		return &web.Problem{Status: 400, Detail: "the body must be a JSON object"}
	}
	if _, syntax := errors.AsType[*json.SyntaxError](err); syntax || strings.HasPrefix(err.Error(), "text after") {
		return &web.Problem{Status: 400, Detail: "the body must be one JSON object: " + err.Error()}
	}
	return err // connection error, or body too large
}

// readQuery returns the query parameters, which must be known.
func readQuery(r *http.Request, known []string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &web.Problem{Status: 400, Detail: "the query of the URL is malformed"}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return nil, invalid(printable(name), "unknown parameter")
		}
		if len(values[name]) > 1 {
			return nil, invalid(name, "given more than once")
		}
	}
	return values, nil
}

// noBody refuses a body that would be ignored.
func noBody(r *http.Request) error {
	n, err := io.ReadFull(r.Body, make([]byte, 1))
	if n > 0 {
		return &web.Problem{Status: 400, Detail: "this operation accepts no body"}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// limit returns the requested maximum number of rows.
func limit(query url.Values, usual, most int) (int, error) {
	if !query.Has("limit") {
		return usual, nil
	}
	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n < 1 || n > most {
		return 0, invalid("limit", "must be 1 to %d", most)
	}
	return n, nil
}

// moment parses a time in RFC 3339, or a day, which begins at midnight UTC.
func moment(query url.Values, name string) (time.Time, error) {
	text := query.Get(name)
	if text == "" && !query.Has(name) {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1970 && t.Year() < 3000 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, invalid(name, "must be a time such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31")
}

// number parses a phone number in international form.
func number(parameter, text string) (string, error) {
	n, err := phone.Parse(text, "")
	if err != nil {
		return "", invalid(parameter, "%q: %v", printable(text), err)
	}
	return n.Digits, nil
}

func money(parameter, text string) (verify.Money, error) {
	m, err := verify.ParseMoney(text)
	if err != nil {
		return 0, invalid(parameter, "%v", err)
	}
	return m, nil
}

// line validates a text of one line and at most the given bytes.
func line(parameter, text string, most int) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return invalid(parameter, "must be one line of text")
	}
	if len(text) > most {
		return invalid(parameter, "must be at most %d bytes", most)
	}
	return nil
}

// printable replaces unprintable characters of client text, and cuts it to 64 bytes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s[:min(len(s), 64)])
}

// each converts each item. The result is not nil, so its JSON is [].
func each[From, To any](items []From, form func(From) To) []To {
	list := make([]To, len(items))
	for i, item := range items {
		list[i] = form(item)
	}
	return list
}

// stamp returns a time in the format of the API; "" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
