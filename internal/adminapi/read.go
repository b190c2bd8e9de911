package adminapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"countersign/internal/phone"
	"countersign/internal/verify"
)

// read takes the body of a call, a JSON object with fields of v and no others.
func (c *call) read(v any) error {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Problem{Status: 415, Parameter: "Content-Type", Detail: "must be application/json"}
	}
	d := json.NewDecoder(c.r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	return bodyProblem(err)
}

func bodyProblem(err error) error {
	const unknown = `json: unknown field "`
	kind, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil:
		return nil
	case ok && kind.Field != "":
		// The types of embedded structs stand before the name, with a capital.
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
		return &Problem{Status: 400, Detail: "the body must be a JSON object"}
	}
	if _, syntax := errors.AsType[*json.SyntaxError](err); syntax || strings.HasPrefix(err.Error(), "something follows") {
		return &Problem{Status: 400, Detail: "the body must be one JSON object: " + err.Error()}
	}
	return err // of the connection, or too large
}

// query gives the parameters of the URL, of which it knows all.
func (c *call) query(known ...string) (url.Values, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, &Problem{Status: 400, Detail: "the query of the URL cannot be read"}
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return nil, invalid(printable(name), "unknown parameter")
		}
		if len(list) > 1 {
			return nil, invalid(name, "given twice")
		}
	}
	return values, nil
}

// limit reads how many rows are wanted.
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

// moment reads a time: RFC 3339, or a day, which begins at midnight UTC.
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

// number reads a phone number in international form.
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

// line reads a text of one line.
func line(parameter, text string, most int) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return invalid(parameter, "must be one line of text")
	}
	if len(text) > most {
		return invalid(parameter, "must be at most %d bytes", most)
	}
	return nil
}

// printable keeps what a client made up from going anywhere as it is.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s[:min(len(s), 64)])
}

// stamp is how times are written.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
