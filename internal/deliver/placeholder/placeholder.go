// Package placeholder renders templates of the operator with values of a message, such as
// "to=%2B{{.To}}".
//
// The package does not depend on any protocol: the caller passes the escaping for each
// position.
package placeholder

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// Values are the values of one message by placeholder name without the first dot, such as
// "To" or "Values.entity_id". A missing value is "".
type Values map[string]string

// values is the prefix of the names in [deliver.Message.Values].
const values = "Values."

// names returns the placeholders that are set for every message.
func names() []string {
	return []string{"To", "From", "Text", "EventID", "RequestID", "Attempt", "ValidSeconds"}
}

// Of returns the values of m. Its PIN expires in validFor.
func Of(m deliver.Message, validFor time.Duration) Values {
	// Rounded down: the carrier must drop the message before the PIN expires.
	seconds := max(1, int64(validFor/time.Second))
	v := Values{
		"To":           m.To.Given,
		"From":         m.From,
		"Text":         m.Text,
		"EventID":      m.EventID.String(),
		"RequestID":    m.RequestID.String(),
		"Attempt":      strconv.Itoa(m.Attempt),
		"ValidSeconds": strconv.FormatInt(seconds, 10),
	}
	for name, value := range m.Values {
		v[values+name] = value
	}
	return v
}

// Escape escapes a value for its position.
type Escape func(string) (string, error)

// Text is a template. The position of a placeholder determines the escaping of its value.
// The zero value is an empty text.
type Text struct {
	pieces []piece
}

type piece struct {
	literal string
	field   string // "" for a literal
	escape  Escape
}

// Parse parses a template. escapeAt returns the escape for a placeholder after the text
// before. The error contains the invalid part of s.
func Parse(s string, escapeAt func(before string) Escape) (Text, error) {
	var t Text
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
			return Text{}, fmt.Errorf("%q is not closed", "{{")
		}
		field, dot := strings.CutPrefix(strings.TrimSpace(inside), ".")
		if !dot || !known(field) {
			return Text{}, fmt.Errorf("unknown placeholder {{%s}}; use .%s or .Values.NAME", inside, strings.Join(names(), ", ."))
		}
		t.pieces = append(t.pieces, piece{field: field, escape: escapeAt(s[:offset+start])})
		offset += start + len("{{") + len(inside) + len("}}")
	}
	return t, nil
}

func known(field string) bool {
	name, ok := strings.CutPrefix(field, values)
	return ok && verify.ValidValueName(name) || slices.Contains(names(), field)
}

// Render returns the text with the values filled in. An error has the name of the
// placeholder but not its value.
func (t Text) Render(v Values) (string, error) {
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

// Literals calls visit with each text between placeholders and the name of the following
// placeholder, "" at the end.
func (t Text) Literals(visit func(literal, next string)) {
	for i, p := range t.pieces {
		if p.field != "" {
			continue
		}
		next := ""
		if i+1 < len(t.pieces) {
			next = t.pieces[i+1].field
		}
		visit(p.literal, next)
	}
}

// Fields returns the distinct names of the placeholders.
func (t Text) Fields() []string {
	var list []string
	for _, p := range t.pieces {
		if p.field != "" && !slices.Contains(list, p.field) {
			list = append(list, p.field)
		}
	}
	return list
}
