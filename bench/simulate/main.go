// Command simulate shows what becomes of the load of one machine, ten, a hundred and a
// thousand times over, when accounts are spread over several databases (cells), and when
// a node or a cell is lost. It simulates, event by event, what nodes, their writers and
// PostgreSQL do with each request, with the times that benchmarks have measured
// (inputs.json), and prints the tables of docs/explanation/scale.md, or puts them there.
//
// It simulates one cell, and not all: cells share nothing, so a thousand of them are a
// thousand times one. Which one counts: it is the fullest. Nothing it does depends on
// the clock or the machine; the same seed and inputs print the same tables.
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
	seed := flag.Uint64("seed", 1, "of everything that chance decides")
	path := flag.String("inputs", "", "a file of inputs; those of the source if empty")
	only := flag.String("only", "", "the tables to print, by comma: "+strings.Join(names(), ", "))
	into := flag.String("into", "", "a Markdown file, whose tables are replaced by these; they are printed if empty")
	var changes []string
	flag.Func("set", "name=value of an input, in its unit; may be given often", func(s string) error {
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
			return fmt.Errorf("there is no table %q", name)
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

// tableEnd is what stands behind a table.
const tableEnd = "<!-- end -->"

// update replaces the tables of a file, which stand between the same comments there as
// they are printed with.
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
			return fmt.Errorf("%s has no place for the table %q", file, name)
		}
		text = []byte(before + "<!-- simulate " + table + after)
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec // it is to be read
}

// table is one that is printed.
type table struct {
	name, title string
	print       func(*report)
}

func tables() []table {
	return []table{
		{"inputs", "### Inputs", (*report).inputs},
		{"check", "### Against what was measured", (*report).check},
		{"nodes", "### What a cell carries", (*report).nodes},
		{"loads", "### One, ten, a hundred and a thousand times", (*report).loads},
		{"beyond", "### Beyond what a cell carries", (*report).beyond},
		{"shapes", "### How the load varies", (*report).shapes},
		{"losses", "### When something is lost", (*report).losses},
	}
}

func names() (names []string) {
	for _, t := range tables() {
		names = append(names, t.name)
	}
	return names
}
