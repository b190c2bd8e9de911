package driver

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Change is a statement for one row about an item, such as a verification, in a form that can
// be written for several rows. Where a statement costs more than a row, the rows of a batch
// are changed by one statement. A change has one of two forms:
//
//	INSERT INTO table (column, …)
//	statement FROM new (column TYPE, …) WHERE condition
//
// In the second, new.column is a value of the row, and the types are those of PostgreSQL. The
// condition may be missing; it begins with table.key = new.column, by which an index finds the
// row.
type Change string

// ParsedChange is a change in its parts.
type ParsedChange struct {
	head, rest string
	names      []string
	kinds      []string // nil in the first form

	texts map[int]string // results of Many, by number of rows
}

// Parse returns the parts of the change.
func (c Change) Parse() *ParsedChange {
	head, tail, second := strings.Cut(string(c), "FROM new (")
	p := &ParsedChange{head: strings.TrimSpace(head), texts: map[int]string{}}
	if !second {
		_, tail, _ = strings.Cut(head, "(")
	}
	list, rest, _ := strings.Cut(tail, ")")
	p.rest = strings.TrimSpace(rest)
	for field := range strings.SplitSeq(list, ",") {
		name, kind, _ := strings.Cut(strings.TrimSpace(field), " ")
		p.names = append(p.names, name)
		if second {
			p.kinds = append(p.kinds, kind)
		}
	}
	return p
}

// Verb returns the first word of the statement.
func (p *ParsedChange) Verb() string {
	verb, _, _ := strings.Cut(p.head, " ")
	return verb
}

// Width returns the number of arguments of a row.
func (p *ParsedChange) Width() int { return len(p.names) }

// One returns the statement for one row. Its arguments are the columns.
func (p *ParsedChange) One() string {
	if p.kinds == nil {
		return p.Many(1)
	}
	order := make([]int, len(p.names))
	for i := range order {
		order[i] = i
	}
	// A name that has another as its prefix must be replaced first.
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(len(p.names[b]), len(p.names[a])) })
	text := p.head + " " + p.rest
	for _, i := range order {
		text = strings.ReplaceAll(text, "new."+p.names[i], "$"+strconv.Itoa(i+1))
	}
	return text
}

// Many returns the statement for a number of rows. It composes each text once.
func (p *ParsedChange) Many(rows int) string {
	text := p.texts[rows]
	if text == "" {
		text = p.compose(rows)
		p.texts[rows] = text
	}
	return text
}

func (p *ParsedChange) compose(rows int) string {
	b := append(make([]byte, 0, 256+8*rows*len(p.names)), p.head...)
	if p.kinds == nil {
		return string(p.appendValues(append(b, ' '), rows))
	}
	b = p.appendValues(append(b, " FROM ("...), rows)
	b = append(append(append(b, ") new ("...), strings.Join(p.names, ", ")...), ") "...)
	return string(p.appendKeys(append(b, p.rest...), rows))
}

// appendKeys adds a condition with the keys of all rows. Without it a planner that has no
// statistics reads the whole table for each row.
func (p *ParsedChange) appendKeys(b []byte, rows int) []byte {
	condition, found := strings.CutPrefix(p.rest, "WHERE ")
	if !found {
		return b
	}
	key, after, _ := strings.Cut(condition, " = new.")
	column, _, _ := strings.Cut(after, " ")
	at := slices.Index(p.names, strings.TrimSpace(column))
	b = append(append(append(b, " AND "...), key...), " = ANY (ARRAY["...)
	for row := range rows {
		if row > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(append(b, '$'), int64(row*len(p.names)+at+1), 10)
	}
	return append(append(append(b, "]::"...), p.kinds[at]...), "[])"...)
}

// appendValues adds the VALUES of some rows. The first row has the types of the columns.
func (p *ParsedChange) appendValues(b []byte, rows int) []byte {
	b = append(b, "VALUES "...)
	for i := range rows * len(p.names) {
		switch {
		case i == 0:
			b = append(b, '(')
		case i%len(p.names) == 0:
			b = append(b, "), ("...)
		default:
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(append(b, '$'), int64(i+1), 10)
		if i < len(p.kinds) {
			b = append(append(b, "::"...), p.kinds[i]...)
		}
	}
	return append(b, ')')
}
