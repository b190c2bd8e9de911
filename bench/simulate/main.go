// Command simulate predicts latency and capacity when accounts are spread over several
// databases (cells), at 1 to 1,000 times the load of one machine. It also predicts the effect
// of a failed node or database. It is a discrete-event simulation of nodes, their writers and
// PostgreSQL, with times from benchmarks (inputs.json). It prints the tables of
// docs/explanation/scale.md or updates that file.
//
// Cells are independent of each other, so it simulates only the fullest one. The output
// depends only on seed and inputs, not on the clock or the machine.
//
//	go run ./bench/simulate
//	go run ./bench/simulate -into docs/explanation/scale.md
//	go run ./bench/simulate -only losses -set cell.nodes=5 -set network.trip=100
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 1, "random seed")
	path := flag.String("inputs", "", "file with inputs; default: the embedded inputs.json")
	only := flag.String("only", "", "comma-separated tables to print: "+strings.Join(names(), ", ")+"; default: all")
	into := flag.String("into", "", "Markdown file in which to replace the tables; default: print to standard output")
	var changes []string
	flag.Func("set", "override an input: name=value, in its unit; may be repeated", func(s string) error {
		changes = append(changes, s)
		return nil
	})
	flag.Parse()
	var err error
	if *into == "" {
		err = run(os.Stdout, *seed, *path, *only, changes)
	} else {
		err = update(*into, *seed, *path, *only, changes)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, seed uint64, path, only string, changes []string) error {
	text := measured
	if path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	in, err := readInputs(text)
	if err != nil {
		return err
	}
	for _, change := range changes {
		if err := in.set(change); err != nil {
			return err
		}
	}
	wanted := names()
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("unknown table %q", name)
		}
	}
	r := &report{in: in, seed: seed, out: out}
	for _, t := range tables() {
		if !slices.Contains(wanted, t.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(out, "\n%s\n\n<!-- simulate %s -->\n\n", t.title, t.name)
		t.print(r)
		fmt.Fprintf(out, "\n%s\n", tableEnd)
		fmt.Fprintf(os.Stderr, "%s: %v\n", t.name, time.Since(began).Round(time.Second/10))
	}
	return nil
}

// tableEnd marks the end of a table in a Markdown file.
const tableEnd = "<!-- end -->"

// update replaces the tables of a file. A table extends from the comment with its name to
// tableEnd.
func update(file string, seed uint64, path, only string, changes []string) error {
	var printed strings.Builder
	if err := run(&printed, seed, path, only, changes); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, part := range strings.SplitAfter(printed.String(), tableEnd) {
		_, table, ok := strings.Cut(part, "<!-- simulate ")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(table, " ")
		before, rest, found := strings.Cut(string(text), "<!-- simulate "+name+" -->")
		_, after, ended := strings.Cut(rest, tableEnd)
		if !found || !ended {
			return fmt.Errorf("%s has no comments for table %q: add <!-- simulate %s --> and %s", file, name, name, tableEnd)
		}
		text = []byte(before + "<!-- simulate " + table + after)
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec // a documentation page
}

// table is a printable table.
type table struct {
	name, title string
	print       func(*report)
}

func tables() []table {
	return []table{
		{"inputs", "### Inputs", (*report).inputs},
		{"check", "### Comparison with benchmarks", (*report).check},
		{"nodes", "### Capacity of a cell", (*report).nodes},
		{"loads", "### 1, 10, 100 and 1,000 times the load", (*report).loads},
		{"beyond", "### Beyond the capacity of a cell", (*report).beyond},
		{"shapes", "### Variable load", (*report).shapes},
		{"losses", "### Failures", (*report).losses},
	}
}

func names() (names []string) {
	for _, t := range tables() {
		names = append(names, t.name)
	}
	return names
}
