// Package placeholder fills values of a message into texts that an operator writes,
// such as "to=%2B{{.To}}". Carriers use it for what differs from message to message.
//
// The package must not know any protocol: the caller passes the escape for each
// place.
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

// Values are the values of one message, by the name of their placeholder without its
// first dot: "To", or "Values.entity_id". A missing value is "".
type Values map[string]string

// values starts the names of the values of accounts and messages
// ([deliver.Message.Values]).
const values = "Values."

// names returns the placeholders that every message has a value for.
func names() []string {
	return []string{"To", "From", "Text", "EventID", "RequestID", "Attempt", "ValidSeconds"}
}

// Of returns the values of m. Its PIN expires in validFor.
func Of(m deliver.Message, validFor time.Duration) Values {
	// Rounded down: the carrier must drop the message no later than the PIN dies.
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

// Escape makes a value fit for the place that it is put into.
type Escape func(string) (string, error)

// Text is a text with placeholders. The place of each decides how its value is
// escaped. The zero value is an empty text.
type Text struct {
	pieces []piece
}

type piece struct {
	literal string
	field   string // "" for a literal
	escape  Escape
}

// Parse reads s. escapeAt returns the escape for a placeholder that follows the text
// before. The error names the part of s that is no placeholder.
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
			return Text{}, fmt.Errorf("no placeholder {{%s}}; there are .%s and .Values.NAME", inside, strings.Join(names(), ", ."))
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

// Render puts values in. The error names the placeholder, and not its value.
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

// Literals calls visit with each piece between placeholders, and the name of the
// placeholder after it, "" at the end.
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

// Fields returns the names of the placeholders, each once.
func (t Text) Fields() []string {
	var list []string
	for _, p := range t.pieces {
		if p.field != "" && !slices.Contains(list, p.field) {
			list = append(list, p.field)
		}
	}
	return list
}
