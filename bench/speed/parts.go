package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"countersign/internal/web"
)

// part is a share of the server's CPU time, attributed by function. A sample of a profile
// belongs to the first part with one of its anywhere functions in the stack. Otherwise it
// belongs to the part of the innermost function with a match in functions; in one function,
// the first match of the list applies. Labels would cost CPU time and code in the server;
// names of functions cost nothing.
//
// Both fields are prefixes of names: package path, receiver, function.
type part struct {
	name      string
	anywhere  []string
	functions []string
}

// colPart begins the columns of parts: µs of CPU for each answer.
const colPart = "part/"

// otherPart is the part of stacks without a match: the scheduler of Go and its timers.
const otherPart = "scheduler of Go"

// partOf returns the part of a stack of functions, innermost first.
func partOf(list []part, stack []string) string {
	matches := func(f string, prefixes []string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(f, prefix) })
	}
	for _, p := range list {
		if slices.ContainsFunc(stack, func(f string) bool { return matches(f, p.anywhere) }) {
			return p.name
		}
	}
	for _, f := range stack {
		for _, p := range list {
			if matches(f, p.functions) {
				return p.name
			}
		}
	}
	return otherPart
}

var errProfile = errors.New("not a CPU profile")

// shares returns the share of each part in the samples of a profile (gzipped
// profile.proto). The sum is 1; a profile without samples has no shares.
func shares(list []part, data []byte) (map[string]float64, error) {
	p, err := profile.ParseData(data)
	if err != nil {
		return nil, err
	}
	value := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" })
	if value < 0 {
		return nil, errProfile
	}
	found, total := map[string]float64{}, 0.
	for _, sample := range p.Sample {
		var stack []string
		for _, location := range sample.Location {
			for _, line := range location.Line { // more than one if the compiler inlined
				if line.Function != nil {
					stack = append(stack, line.Function.Name)
				}
			}
		}
		v := float64(sample.Value[value])
		found[partOf(list, stack)] += v
		total += v
	}
	for name := range found {
		found[name] /= total
	}
	return found, nil
}

// addParts divides the CPU time of each answer by the shares of a profile. The time comes
// from /proc, since a profile misses some samples on a busy machine.
func (r result) addParts(list []part, data []byte) error {
	found, err := shares(list, data)
	for name, share := range found {
		r[colPart+name] = share * r[colCPU]
	}
	return err
}

// profile returns a CPU profile of the server for length. It returns nil without an error if the
// program has no profiles, as in earlier releases.
func (s *server) profile(ctx context.Context, length time.Duration) ([]byte, error) {
	code, body, err := get(ctx, fmt.Sprintf("%s%s?seconds=%g", s.ops, web.ProfilePath, min(length, time.Minute).Seconds()))
	switch {
	case err != nil:
		return nil, err
	case code == http.StatusNotFound:
		return nil, nil
	case code != http.StatusOK:
		return nil, fmt.Errorf("%w: HTTP %d: %s", errProfile, code, bytes.TrimSpace(body))
	}
	return body, nil
}

// profiled runs load and, if the server has profiles, returns a profile of its first g.length,
// which it also writes to g.file.
func (g gauge) profiled(load func() (*run, error)) (r *run, data []byte, err error) {
	if g.profile == nil {
		r, err = load()
		return r, nil, err
	}
	failed := make(chan error, 1)
	go func() {
		var err error
		data, err = g.profile()
		failed <- err
	}()
	r, err = load()
	err = errors.Join(err, <-failed)
	if err == nil && data != nil {
		err = os.WriteFile(g.file, data, 0o600)
	}
	return r, data, err
}

// partTables returns a table of CPU by part for each engine, as Markdown; "" if no work has parts.
func (r *results) partTables(list []part, names func(work string) string) string {
	var engines []string
	works := map[string][]string{} // works with parts, by engine
	for _, work := range r.Order {
		if !slices.ContainsFunc(r.Runs[work], func(run result) bool { return hasParts(list, run) }) {
			continue
		}
		_, engine, _ := strings.Cut(work, " ")
		if !slices.Contains(engines, engine) {
			engines = append(engines, engine)
		}
		works[engine] = append(works[engine], work)
	}
	var tables []string
	for _, engine := range engines {
		tables = append(tables, r.partTable(list, works[engine], names))
	}
	return strings.Join(tables, "\n")
}

func hasParts(list []part, run result) bool {
	return slices.ContainsFunc(partNames(list), func(name string) bool { _, ok := run[colPart+name]; return ok })
}

// partNames returns the names of parts in the order of the table.
func partNames(list []part) (names []string) {
	for _, p := range list {
		names = append(names, p.name)
	}
	return append(names, otherPart)
}

// partTable returns rows for each part that takes time in one of works, and for their sum. Each
// work has two columns: µs for each answer, and the share of the sum.
func (r *results) partTable(list []part, works []string, names func(work string) string) string {
	var s strings.Builder
	s.WriteString("| CPU by part |")
	line := "|---|"
	sums := map[string]float64{}
	for _, work := range works {
		fmt.Fprintf(&s, " %s | |", names(work))
		line += "--:|--:|"
		for _, name := range partNames(list) {
			sums[work] += r.part(work, name)
		}
	}
	s.WriteString("\n" + line + "\n")
	for _, name := range partNames(list) {
		if !slices.ContainsFunc(works, func(work string) bool { return r.part(work, name) > 0 }) {
			continue
		}
		fmt.Fprintf(&s, "| %s |", name)
		for _, work := range works {
			v := r.part(work, name)
			fmt.Fprintf(&s, " %.1f µs | %.1f %% |", v, 100*v/sums[work])
		}
		s.WriteString("\n")
	}
	s.WriteString("| all |")
	for _, work := range works {
		fmt.Fprintf(&s, " %.0f µs | 100 %% |", sums[work])
	}
	return s.String() + "\n"
}

// part returns the mean of a part over the runs of a work. It is not the median: the
// medians of parts do not add up, and a part without a sample in a run took no time.
func (r *results) part(work, name string) (mean float64) {
	var n float64
	for _, run := range r.Runs[work] {
		if cpu, ok := run[colCPU]; ok && !math.IsNaN(cpu) {
			mean += run[colPart+name]
			n++
		}
	}
	return mean / max(n, 1)
}
