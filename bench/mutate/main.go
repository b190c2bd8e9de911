package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// options are the flags of the command.
type options struct {
	sample  int
	seed    uint64
	limit   time.Duration
	suites  string
	targets []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.sample, "sample", 50, "mutants of each package; 0 is all")
	f.Uint64Var(&o.seed, "seed", 1, "choice of the sample")
	f.DurationVar(&o.limit, "limit", 30*time.Minute, "duration of the mutants of each package; later ones are not run")
	f.StringVar(&o.suites, "suites", "all", `"all" suites that contain the package, its "own" suite only, or a list of packages with commas`)
	f.Usage = func() {
		fmt.Fprintln(stderr, "usage: mutate [flags] PACKAGE...")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.targets = f.Args(); len(o.targets) == 0 {
		f.Usage()
		return o, errors.New("no package is named: add one, such as ./internal/verify")
	}
	if o.sample < 0 {
		return o, fmt.Errorf("-sample %d is negative: use 0 for all mutants", o.sample)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	targets, err := list(ctx, o.targets...)
	if err != nil {
		return err
	}
	module, err := list(ctx, "./...")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	m := mutation{
		options: o, module: module, stdout: stdout, stderr: stderr,
		// The bound ends a mutant that allocates without end.
		runner: runner{dir: dir, memory: 12 << 20},
	}
	if err := m.measureSuites(ctx, targets); err != nil {
		return err
	}
	for _, t := range targets {
		if err := m.mutate(ctx, t); err != nil {
			return fmt.Errorf("mutate %s: %w", t.ImportPath, err)
		}
	}
	return m.summary()
}

// mutation is one run of the command.
type mutation struct {
	options
	runner
	module         []listed
	measured       map[string]suite // key: import path
	results        []result
	stdout, stderr io.Writer
}

// result counts the mutants of one package.
type result struct {
	path              string
	sites             int // places that can be mutated
	killedOwn, killed int // mutants that the package's own suite, or any suite, fails for
	survived          int // mutants that no suite fails for
	invalid           int // mutants that do not compile
	left              int // mutants of the sample that the limit of time excluded
}

// chosen returns the paths of the suites for target: its own, then the others in the
// order of their measured durations.
func (m *mutation) chosen(ctx context.Context, target string) ([]string, error) {
	var paths []string
	switch m.suites {
	case "all":
		paths = dependents(target, m.module)
	case "own":
		paths = []string{target}
	default:
		named, err := list(ctx, strings.Split(m.suites, ",")...)
		if err != nil {
			return nil, err
		}
		for _, p := range named {
			paths = append(paths, p.ImportPath)
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int {
		switch {
		case a == target:
			return -1
		case b == target:
			return 1
		}
		return cmp.Compare(m.measured[a].took, m.measured[b].took)
	})
	return paths, nil
}

func (m *mutation) measureSuites(ctx context.Context, targets []listed) error {
	m.measured = make(map[string]suite)
	var paths []string
	for _, t := range targets {
		paths = append(paths, t.ImportPath)
	}
	for _, t := range paths {
		suites, err := m.chosen(ctx, t)
		if err != nil {
			return err
		}
		for _, path := range suites {
			if _, ok := m.measured[path]; ok {
				continue
			}
			s, err := m.measure(ctx, path, paths)
			if err != nil {
				return err
			}
			fmt.Fprintf(m.stderr, "%s passes without a mutant in %s\n", path, s.took.Round(100*time.Millisecond))
			m.measured[path] = s
		}
	}
	return nil
}

// mutate runs the sample of one package and prints its survivors.
func (m *mutation) mutate(ctx context.Context, target listed) error {
	var files []string
	for _, f := range target.GoFiles {
		files = append(files, filepath.Join(target.Dir, f))
	}
	sites, err := findSites(files, m.seed)
	if err != nil {
		return err
	}
	suites, err := m.chosen(ctx, target.ImportPath)
	if err != nil {
		return err
	}
	r := result{path: target.ImportPath, sites: len(sites)}
	wanted := m.sample
	if wanted == 0 || wanted > len(sites) {
		wanted = len(sites)
	}
	until := time.Now().Add(m.limit)
	for _, s := range sites {
		ran := r.killed + r.survived
		if ran == wanted {
			break
		}
		if time.Now().After(until) {
			r.left = wanted - ran
			break
		}
		if err := m.try(ctx, target.ImportPath, s, suites, &r); err != nil {
			return err
		}
		fmt.Fprintf(m.stderr, "%s: %d of %d, %d survived\n", target.ImportPath, r.killed+r.survived, wanted, r.survived)
	}
	m.results = append(m.results, r)
	return nil
}

// try runs one mutant and counts it in r.
func (m *mutation) try(ctx context.Context, target string, at site, suites []string, r *result) error {
	source, err := os.ReadFile(at.file)
	if err != nil {
		return err
	}
	changed := filepath.Join(m.dir, "mutant.go")
	if err := os.WriteFile(changed, at.mutant(source), 0o600); err != nil {
		return err
	}
	overlay := map[string]string{at.file: changed}
	var reached []string
	for _, path := range suites {
		s := m.measured[path]
		if !s.reaches(target, at) {
			continue
		}
		reached = append(reached, path)
		out, err := m.test(ctx, 20*time.Second+4*s.took, overlay, path)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			continue
		case bytes.Contains(out, []byte("[build failed]")):
			r.invalid++
			return nil
		}
		r.killed++
		if path == target {
			r.killedOwn++
		}
		return nil
	}
	by := "reached by " + strings.Join(reached, " ")
	if len(reached) == 0 {
		by = "reached by no suite"
		if _, err := m.command(ctx, longest, overlay, "build", "-o", os.DevNull, target); err != nil {
			r.invalid++
			return ctx.Err()
		}
	}
	r.survived++
	name := at.file
	if wd, err := os.Getwd(); err == nil {
		if short, err := filepath.Rel(wd, at.file); err == nil {
			name = short
		}
	}
	fmt.Fprintf(m.stdout, "%s:%d:%d: %s in %s: %s → %s (%s)\n", name, at.line, at.col, at.kind, at.function, brief(at.before), brief(at.after), by)
	return nil
}

// brief returns text in one line of at most 80 characters.
func brief(text string) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > 80 {
		return string(line[:79]) + "…"
	}
	return string(line)
}

// summary prints a line for each package.
func (m *mutation) summary() error {
	w := tabwriter.NewWriter(m.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "package\tsites\trun\tkilled by own suite\tkilled by any\tsurvived\tscore\tinvalid\tnot run")
	for _, r := range m.results {
		ran := r.killed + r.survived
		score := "-"
		if ran > 0 {
			score = fmt.Sprintf("%.0f %%", 100*float64(r.killed)/float64(ran))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\n", r.path, r.sites, ran, r.killedOwn, r.killed, r.survived, score, r.invalid, r.left)
	}
	return w.Flush()
}
