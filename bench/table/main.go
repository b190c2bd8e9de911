// Command table prints Markdown tables of the results of package bench: medians of a run, and
// their ratios. It reads the output of "go test -bench" from standard input.
//
// It must depend only on the names and units of the benchmarks.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	r := results{}
	if err := r.read(in); err != nil {
		return err
	}
	if len(r) == 0 {
		return errors.New("no results")
	}
	tables := slices.DeleteFunc([]string{r.submit(), r.soak(), r.calls(), r.setup()}, func(s string) bool { return s == "" })
	_, err := io.WriteString(out, strings.Join(tables, "\n"))
	return err
}

// results are the values of each benchmark by unit, one for each run. Names omit "Benchmark"
// and the number of processors.
type results map[string]map[string][]float64

// read parses lines such as "BenchmarkSoak/receipts=on-2  100  14 ns/op  7 B/op".
func (r results) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		name, ok := strings.CutPrefix(lines.Text(), "Benchmark")
		if !ok || len(fields) < 4 {
			continue
		}
		name, _, _ = strings.Cut(name, " ")
		name, _, _ = strings.Cut(name, "\t")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		if r[name] == nil {
			r[name] = map[string][]float64{}
		}
		for pair := range slices.Chunk(fields[2:], 2) {
			if len(pair) < 2 {
				continue
			}
			v, err := strconv.ParseFloat(pair[0], 64)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r[name][pair[1]] = append(r[name][pair[1]], v)
		}
	}
	return lines.Err()
}

// median returns the median of a benchmark's values; NaN without a value.
func (r results) median(name, unit string) float64 {
	v := slices.Sorted(slices.Values(r[name][unit]))
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// values returns the rest of each name that begins with prefix, in numeric order.
func (r results) values(prefix string) []string {
	found := map[string]bool{}
	for name := range r {
		if value, ok := strings.CutPrefix(name, prefix); ok {
			found[value] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		if d := len(a) - len(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

func (r results) submit() string {
	t := table{head: []string{
		"submit_sm/s at window", "our SMSC: limit", "carrier", "of limit",
		"our SMSC, separate process: limit", "carrier", "of limit",
		"npm's smpp: limit", "carrier", "of limit", "our SMSC ÷ npm's",
	}}
	for _, window := range r.values("Submit/smsc=ours/client=carrier/window=") {
		rate := func(smsc, client string) float64 {
			return r.median("Submit/smsc="+smsc+"/client="+client+"/window="+window, "submit_sm/s")
		}
		row := []string{window}
		for _, smsc := range []string{"ours", "process", "npm"} {
			limit, carrier := rate(smsc, "raw"), rate(smsc, "carrier")
			row = append(row, count(limit), count(carrier), ratio(carrier, limit))
		}
		// Both SMSCs run in a separate process.
		t.add(append(row, ratio(rate("process", "carrier"), rate("npm", "carrier")))...)
	}
	return t.String()
}

func (r results) soak() string {
	t := table{head: []string{
		"receipts", "submit_sm/s", "heap after 10 %", "heap at the end", "additional objects", "additional goroutines", "allocated per message",
	}}
	for _, receipts := range r.values("Soak/receipts=") {
		value := func(unit, format string) string { return number(r.median("Soak/receipts="+receipts, unit), format) }
		t.add(receipts, count(r.median("Soak/receipts="+receipts, "submit_sm/s")), value("first-heap-KiB", "%.0f KiB"),
			value("last-heap-KiB", "%.0f KiB"), value("objects-growth", "%.0f"), value("goroutines-growth", "%.0f"),
			value("B/op", "%.0f octets"))
	}
	return t.String()
}

func (r results) calls() string {
	t := table{head: []string{
		"concurrent calls", "carrier: late", "latest", "arrived", "CPU per call", "memory per call",
		"sipp: late", "latest", "arrived", "CPU per call",
	}}
	for _, calls := range r.values("Calls/caller=carrier/calls=") {
		row := []string{calls}
		for _, caller := range []string{"carrier", "sipp"} {
			value := func(unit, format string) string {
				return number(r.median("Calls/caller="+caller+"/calls="+calls, unit), format)
			}
			row = append(row, value("%late", "%.2f %%"), value("late-max-ms", "%.0f ms"), value("%arrived", "%.1f %%"),
				value("cpu-us/call/s", "%.0f µs/s"))
			if caller == "carrier" {
				row = append(row, value("RSS-KiB/call", "%.0f KiB"))
			}
		}
		t.add(row...)
	}
	return t.String()
}

func (r results) setup() string {
	t := table{head: []string{"caller", "calls/s"}}
	for _, caller := range []struct{ prefix, as string }{
		{"Setup/caller=carrier/at-once=", "carrier, %s concurrent"}, {"Setup/caller=sipp/asked=", "sipp, target %s per second"},
	} {
		for _, value := range r.values(caller.prefix) {
			t.add(fmt.Sprintf(caller.as, value), count(r.median(caller.prefix+value, "calls/s")))
		}
	}
	return t.String()
}

// table is a Markdown table. It is printed only with rows.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	var s strings.Builder
	line := func(cells []string) { s.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(t.head)
	s.WriteString("|" + strings.Repeat("--:|", len(t.head)) + "\n")
	for _, row := range t.rows {
		line(row)
	}
	return s.String()
}

func number(v float64, format string) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

func ratio(a, b float64) string { return number(a/b, "%.2f") }

// count formats a number with commas.
func count(v float64) string {
	s := number(v, "%.0f")
	for i := len(s) - 3; i > 0 && !math.IsNaN(v); i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
