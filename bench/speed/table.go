package main

import (
	"cmp"
	"fmt"
	"math"
	"strings"
)

// column is a column of a table.
type column struct {
	name, head, format string
	factor             float64
}

func columns() []column {
	return []column{
		{colRate, "a second", "count", 1},
		{colP50, "p50", "%.1f ms", 1},
		{colP99, "p99", "%.1f ms", 1},
		{colMax, "max", "%.0f ms", 1},
		{colCounted, "count", "%.2f %%", 1},
		{colCPU, "CPU", "%.0f µs", 1},
		{colDatabase, "of PostgreSQL", "%.0f µs", 1},
		{colLoad, "of the load", "%.0f µs", 1},
		{colMallocs, "allocations", "%.0f", 1},
		{colWritten, "to disk", "%.1f KiB", 1. / 1024},
		{colPeak, "most memory", "%.0f MiB", 1},
	}
}

// openColumns returns the columns of the open loop.
func openColumns() []column {
	list := []column{{colArrivals, "a second", "count", 1}, {colLate, "late", "%.0f", 1}}
	for _, c := range []column{{name: colStart, head: "start"}, {name: colWire, head: "answer to submit_sm"}, {name: colCheck, head: "check"}} {
		list = append(list, column{c.name + "p50", c.head + ": p50", "%.1f ms", 1},
			column{c.name + "p99", "p99", "%.1f ms", 1}, column{c.name + "max", "max", "%.0f ms", 1})
	}
	return append(list, column{colBehind + "p99", "load late: p99", "%.1f ms", 1}, column{colDelivered, "with receipt", "%.2f %%", 1},
		column{colCPU, "CPU", "%.0f µs", 1}, column{colLoad, "of the load", "%.0f µs", 1}, column{colMallocs, "allocations", "%.0f", 1},
		column{colWritten, "to disk", "%.1f KiB", 1. / 1024}, column{colPeak, "most memory", "%.0f MiB", 1})
}

// stateColumns returns the columns of works that measure a state.
func stateColumns() []column {
	return []column{
		{colServing, "serves after", "%.0f ms", 1}, {colResident, "memory", "%.0f MiB", 1}, {colPeak, "most memory", "%.0f MiB", 1},
		{colSent, "messages", "count", 1}, {colLag + "p50", "late: p50", "%.1f ms", 1}, {colLag + "p99", "p99", "%.1f ms", 1},
		{colLag + "max", "max", "%.0f ms", 1}, {colCPU, "CPU of each", "%.0f µs", 1}, {colMallocs, "allocations", "%.0f", 1},
		{colWritten, "to disk", "%.1f KiB", 1. / 1024},
	}
}

// table returns the medians of works, as Markdown; "" without results.
func (r *results) table(columns []column, of func(work string) bool, names func(work string) string) string {
	var s strings.Builder
	for _, work := range r.Order {
		if !of(work) {
			continue
		}
		fmt.Fprintf(&s, "| %s |", names(work))
		for _, c := range columns {
			fmt.Fprintf(&s, " %s |", cell(r.median(work, c.name)*c.factor, c.format))
		}
		s.WriteString("\n")
	}
	if s.Len() == 0 {
		return ""
	}
	head, line := "| work |", "|---|"
	for _, c := range columns {
		head, line = head+" "+c.head+" |", line+"--:|"
	}
	return head + "\n" + line + "\n" + s.String()
}

// tables returns all tables, with the ratios. clients is the number of connections of the load.
func (r *results) tables(clients int, names func(work string) string, more []comparison) string {
	open := func(work string) bool { return strings.HasPrefix(work, "open ") }
	var list []string
	state := func(work string) bool { return strings.HasPrefix(work, "idle ") || strings.HasPrefix(work, "waiting ") }
	for _, t := range []string{
		r.table(columns(), func(work string) bool { return !open(work) && !state(work) }, names),
		r.table(openColumns(), open, names), r.table(stateColumns(), state, names), r.partTables(parts(), names),
		r.distances(clients, names), r.ratios(names, more),
	} {
		if t != "" {
			list = append(list, t)
		}
	}
	return strings.Join(list, "\n")
}

// cell formats a value; "–" if there is none.
func cell(v float64, format string) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case format == "count":
		return count(v)
	}
	return fmt.Sprintf(format, v)
}

// count formats a number with commas.
func count(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// comparison is a ratio of the rates of two works.
type comparison struct {
	work, to string
	column   string // colRate if empty
	mark     string // target
}

func comparisons() []comparison {
	return []comparison{
		{"start sqlite", "grouped", "", ""},
		{"check sqlite", "grouped", "", ""},
		{"start postgres", "pgbench", "", ""},
		{"check postgres", "pgbench", "", ""},
		{"start sqlite", "fsync", "", ""},
		{"start sqlite", "http", "", "≥ 0.17"},
	}
}

// ratios returns the medians of the ratios of works, as Markdown; "" without comparable works.
func (r *results) ratios(names func(work string) string, more []comparison) string {
	var s strings.Builder
	for _, c := range append(comparisons(), more...) {
		column := cmp.Or(c.column, colRate)
		what := map[string]string{colStart + "p99": "p99 of start, ", colCheck + "p99": "p99 of check, "}[column]
		if v := r.ratio(c.work, c.to, column); !math.IsNaN(v) {
			fmt.Fprintf(&s, "| %s%s ÷ %s | %.2f | %s |\n", what, names(c.work), names(c.to), v, c.mark)
		}
	}
	if s.Len() == 0 {
		return ""
	}
	return "| ratio | | mark |\n|---|--:|---|\n" + s.String()
}
