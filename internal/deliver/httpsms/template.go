package httpsms

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/deliver"
)

// values are what a message puts in the place of the placeholders.
type values map[string]string

// fieldNames are the placeholders that there are.
func fieldNames() []string {
	return []string{"To", "From", "Text", "EventID", "RequestID", "Attempt", "ValidSeconds"}
}

func valuesOf(m deliver.Message, validFor time.Duration) values {
	// Rounded down: the carrier must drop the message no later than the PIN dies.
	seconds := max(1, int64(validFor/time.Second))
	return values{
		"To":           m.To,
		"From":         m.From,
		"Text":         m.Text,
		"EventID":      m.EventID.String(),
		"RequestID":    m.RequestID.String(),
		"Attempt":      strconv.Itoa(m.Attempt),
		"ValidSeconds": strconv.FormatInt(seconds, 10),
	}
}

// escape makes a value fit for the place that it is put into.
type escape func(string) (string, error)

// template is a text with placeholders, such as "to=%2B{{.To}}". Where a placeholder
// stands decides how its value is escaped; the operator cannot forget it.
type template struct {
	pieces []piece
}

type piece struct {
	literal string
	field   string // "" for a literal
	escape  escape
}

// parseTemplate reads s. escapeAt gives the escape for a placeholder that stands
// after the text before.
func parseTemplate(s string, escapeAt func(before string) escape) (template, error) {
	var t template
	for offset := 0; offset < len(s); {
		rest := s[offset:]
		start := strings.Index(rest, "{{")
		if start < 0 {
			t.pieces = append(t.pieces, piece{literal: rest})
			break
		}
		if start > 0 {
			t.pieces = append(t.pieces, piece{literal: rest[:start]})
		}
		inside, _, closed := strings.Cut(rest[start+2:], "}}")
		if !closed {
			return template{}, fmt.Errorf("%q is not closed", "{{")
		}
		field, dot := strings.CutPrefix(strings.TrimSpace(inside), ".")
		if !dot || !slices.Contains(fieldNames(), field) {
			return template{}, fmt.Errorf("no placeholder {{%s}}; there are .%s", inside, strings.Join(fieldNames(), ", ."))
		}
		t.pieces = append(t.pieces, piece{field: field, escape: escapeAt(s[:offset+start])})
		offset += start + len("{{") + len(inside) + len("}}")
	}
	return t, nil
}

func (t template) render(v values) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		if p.field == "" {
			b.WriteString(p.literal)
			continue
		}
		s, err := p.escape(v[p.field])
		if err != nil {
			return "", fmt.Errorf("%s %w", p.field, err)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// literals are the pieces that the operator wrote, each with whether a placeholder
// comes next.
func (t template) literals(visit func(literal string, beforeField bool)) {
	for i, p := range t.pieces {
		if p.field == "" {
			visit(p.literal, i+1 < len(t.pieces))
		}
	}
}

func (t template) fields() []string {
	var names []string
	for _, p := range t.pieces {
		if p.field != "" && !slices.Contains(names, p.field) {
			names = append(names, p.field)
		}
	}
	return names
}

// asQuery writes a space as %20, which is right in a query and in a form.
func asQuery(s string) (string, error) {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), nil
}

func asSegment(s string) (string, error) {
	if strings.Trim(s, ".") == "" {
		return "", errors.New("cannot stand in a path: it is empty or has only dots")
	}
	return url.PathEscape(s), nil
}

// asHeader refuses what would end the line, and all that is not ASCII, for which
// headers have no common encoding.
func asHeader(s string) (string, error) {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return "", errors.New("cannot stand in a header: it has a character that is not printable ASCII")
		}
	}
	return s, nil
}

// asJSON gives the inside of a JSON string, for between two quotes.
func asJSON(s string) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "", err
	}
	quoted := strings.TrimSuffix(b.String(), "\n")
	return quoted[1 : len(quoted)-1], nil
}

func asXML(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

func asText(s string) (string, error) { return s, nil }
