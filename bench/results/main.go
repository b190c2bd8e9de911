// Command results prints the events of "go test -json": a line for each package, the full output of
// failed tests, and at the end the ten slowest tests. It reads one or more reports from standard
// input. It does not fail for failed tests: the exit code of "go test" reports them.
//
// It must not depend on the project, only on the events of "go doc test2json".
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "results:", err)
		os.Exit(1)
	}
}

// slowest is the length of the list at the end.
const slowest = 10

// event is a line of the report. Test is empty in events of a package. The output of a
// build has an ImportPath instead of a Package.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64 // seconds
}

// test identifies a test, or a package if name is empty.
type test struct{ pkg, name string }

// took is a finished test with its seconds.
type took struct {
	test
	seconds float64
}

// report has the output of unfinished packages, and the time of every finished test.
type report struct {
	out   *bufio.Writer
	texts map[test][]string // output of tests that did not pass, in order
	order map[string][]test // tests of a package with output, in order of their first line
	times []took
}

// run copies lines that are not events, such as the output of a program before its tests.
func run(in io.Reader, out io.Writer) error {
	r := &report{out: bufio.NewWriter(out), texts: map[test][]string{}, order: map[string][]test{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
			if err := r.out.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(r.order)) { // "go test" was killed
		r.show(pkg)
	}
	r.list()
	return r.out.Flush()
}

func (r *report) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(r.out, line)
		return
	}
	key := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		if r.texts[key] == nil {
			r.order[key.pkg] = append(r.order[key.pkg], key)
		}
		r.texts[key] = append(r.texts[key], e.Output)
	case "pass", "skip", "fail":
		r.ended(key, e)
	}
}

// ended discards the output of a passed test. A failed package is shown in full, a passed or skipped
// one by its last line.
func (r *report) ended(key test, e event) {
	if key.name != "" {
		r.times = append(r.times, took{key, e.Elapsed})
		if e.Action != "fail" {
			r.texts[key] = []string{}
		}
		return
	}
	if e.Action == "fail" {
		r.show(key.pkg)
	} else if text := r.texts[key]; len(text) > 0 {
		fmt.Fprint(r.out, text[len(text)-1])
	}
	r.forget(key.pkg)
}

// show prints the output of tests of a package, in order, and then its own output.
func (r *report) show(pkg string) {
	whole := test{pkg: pkg}
	for _, t := range r.order[pkg] {
		if t != whole {
			fmt.Fprint(r.out, strings.Join(r.texts[t], ""))
		}
	}
	fmt.Fprint(r.out, strings.Join(r.texts[whole], ""))
}

func (r *report) forget(pkg string) {
	for _, t := range r.order[pkg] {
		delete(r.texts, t)
	}
	delete(r.order, pkg)
}

// list prints the slowest tests. A test with subtests counts once, as a whole.
func (r *report) list() {
	tests := slices.DeleteFunc(r.times, func(t took) bool { return strings.Contains(t.name, "/") })
	slices.SortStableFunc(tests, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	if len(tests) == 0 {
		return
	}
	fmt.Fprintln(r.out, "slowest tests:")
	for _, t := range tests[:min(slowest, len(tests))] {
		fmt.Fprintf(r.out, "%7.1f s  %s %s\n", t.seconds, t.pkg, t.name)
	}
}
