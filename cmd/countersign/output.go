package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"text/tabwriter"
	"unicode"

	"countersign/internal/spreadsheet"
)

// outputFlags select the output format. Every command that prints a list or a record
// embeds them and prints a [list] or a [record].
type outputFlags struct {
	Output string `group:"Output" help:"Output format: table, json or csv. Default: ${default}." enum:"table,json,csv" default:"table" placeholder:"FORM"`
}

// list is a result with rows.
type list[T any] struct {
	document any                // JSON form: the body of the admin API, if it has one; nil for rows
	rows     []T                // CSV form: one line each, with the names of the JSON fields
	header   []string           // table form
	row      func(row T) []any  // cells below header
	id       func(row T) string // line of --quiet; nil prints no lines
	foot     string             // text below the table
}

// print prints the list in the form of the flags.
func (l list[T]) print(p *process, f outputFlags) error {
	switch {
	case p.quiet:
		if l.id == nil {
			return nil
		}
		for _, row := range l.rows {
			p.essential(l.id(row))
		}
		return nil
	case f.Output == "json" && l.document != nil:
		return p.printJSON(l.document)
	case f.Output == "json":
		return p.printJSON(append([]T{}, l.rows...)) // nil becomes []
	case f.Output == "csv":
		return printCSV(p.stdout, l.rows)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(l.header, "\t"))
	for _, row := range l.rows {
		var cells []string
		for _, cell := range l.row(row) {
			cells = append(cells, printable(fmt.Sprint(cell)))
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	p.printf("%s", l.foot)
	return nil
}

// record is a result with one object.
type record[T any] struct {
	document T        // JSON form: the body of the admin API, if it has one
	text     string   // table form; "" prints a line for each field of document
	ids      []string // lines of --quiet: ids, and secrets that are shown only once
}

// print prints the record in the form of the flags.
func (r record[T]) print(p *process, f outputFlags) error {
	switch {
	case p.quiet:
		p.essential(r.ids...)
		return nil
	case f.Output == "json":
		return p.printJSON(r.document)
	case f.Output == "csv":
		return printCSV(p.stdout, []T{r.document})
	case r.text != "":
		p.printf("%s", r.text)
		return nil
	}
	fields, err := ordered(r.document)
	if err != nil {
		return err
	}
	p.printf("%s", outline(fields, ""))
	return nil
}

// printJSON prints a value, indented.
func (p *process) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// plainNumber matches text that a spreadsheet may read as a number, such as an amount.
var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// printCSV writes a header with the JSON names of the fields, and a line for each row.
// Lists and objects within a row are JSON.
func printCSV[T any](out io.Writer, rows []T) error {
	w := csv.NewWriter(out)
	names := jsonNames(reflect.TypeFor[T]())
	if err := w.Write(names); err != nil {
		return err
	}
	for _, row := range rows {
		fields, err := ordered(row)
		if err != nil {
			return err
		}
		line := make([]string, len(names))
		for _, f := range fields.(object) { //nolint:forcetypeassert // rows are structs
			for i, name := range names {
				if name == f.name {
					line[i] = csvCell(f)
				}
			}
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func csvCell(f field) string {
	switch v := f.value.(type) {
	case string:
		if plainNumber.MatchString(v) {
			return v
		}
		return spreadsheet.Text(v)
	case object, []any:
		return string(f.raw)
	case nil:
		return ""
	}
	return fmt.Sprint(f.value)
}

// jsonNames returns the JSON names of the fields of a struct, including embedded structs.
func jsonNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, jsonNames(f.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

// field is a field of a JSON object.
type field struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
	raw   []byte
}

// object is a JSON object in field order.
type object []field

// ordered returns v as JSON values, with objects in field order.
func ordered(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return parseJSON(text)
}

// parseJSON returns valid JSON as the types of [field].
func parseJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	start, err := d.Token()
	if err != nil || (start != json.Delim('{') && start != json.Delim('[')) {
		return start, err
	}
	fields, list := object{}, []any{}
	for d.More() {
		var f field
		if start == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			f.name = name.(string) //nolint:forcetypeassert // a name of a field is text
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		if f.value, err = parseJSON(raw); err != nil {
			return nil, err
		}
		f.raw = raw
		fields, list = append(fields, f), append(list, f.value)
	}
	if start == json.Delim('{') {
		return fields, nil
	}
	return list, nil
}

// outline returns a line for each field, indented below its object.
func outline(v any, indent string) string {
	var b strings.Builder
	switch v := v.(type) {
	case object:
		for _, f := range v {
			b.WriteString(indent + f.name + ":" + below(f.value, indent))
		}
	case []any:
		for _, element := range v {
			text := outline(element, indent+"  ")
			b.WriteString(indent + "- " + strings.TrimPrefix(text, indent+"  "))
		}
	default:
		b.WriteString(indent + scalar(v) + "\n")
	}
	return b.String()
}

// below returns the value of a field, on the same line if it is short.
func below(v any, indent string) string {
	switch nested := v.(type) {
	case object:
		if len(nested) > 0 {
			return "\n" + outline(v, indent+"  ")
		}
	case []any:
		var words []string
		for _, element := range nested {
			switch element.(type) {
			case object, []any:
				return "\n" + outline(v, indent+"  ")
			}
			words = append(words, scalar(element))
		}
		return " " + dash(strings.Join(words, ", ")) + "\n"
	default:
		return " " + scalar(v) + "\n"
	}
	return " -\n"
}

func scalar(v any) string {
	if v == nil {
		return "-"
	}
	return dash(printable(fmt.Sprint(v)))
}

// dash returns "-" for empty text, so that a table has no empty cell.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// printable replaces control characters, which would change the table or the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
