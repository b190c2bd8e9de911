// Command speed measures the speed of a server and the limits of its machine, and prints one table
// of medians and their ratios.
//
// The server is the unmodified program ("countersign serve") in a separate process: every commit
// is on disk, the fraud rules are on, and every request is logged. Its database is in a temporary
// directory, on SQLite or on a PostgreSQL started for it. Its carrier is a sink, or an SMSC if the
// path of a message is measured; all traffic is on the loopback interface.
// docs/explanation/performance.md explains the output.
//
//	go run ./bench/speed
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the values of the flags.
type options struct {
	program string
	only    []string
	phases  map[string]bool // calls to measure: start, check, search, life
	rounds  int
	clients int
	rate    int // whole lives per second in the open loop

	waiting  int // verifications waiting for their second message
	dueRate  int // waiting verifications due per second
	finished int // verifications in the large archive
	little   int // verifications in the small archive
	pastRate int // whole lives per second with an archive
	spell    time.Duration
	within   time.Duration // maximum time from the answer of a start to its SMS
	json     string
	keep     string // directory that keeps the files; "" for a temporary one
	peers    []peer
	parts    bool // profile the server
}

func main() {
	if role := os.Getenv(roleVar); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = o.run(ctx, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1) //nolint:gocritic // all processes have stopped
	}
}

// works returns the names of all works, in the order of a round. Compared works are adjacent.
func works() []string {
	return []string{"fsync", "log", "grouped", "sqlite", "http", "pgbench", "postgres", "open", "idle", "waiting", "history"}
}

// slow returns the works that run only on request.
func slow() []string { return []string{"waiting", "history"} }

func phases() []string { return []string{"start", "check", "search", "life"} }

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("speed", flag.ContinueOnError)
	flags.SetOutput(out)
	usual := slices.DeleteFunc(works(), func(work string) bool { return slices.Contains(slow(), work) })
	only := flags.String("only", strings.Join(usual, ","), "works to measure, from "+strings.Join(works(), ", "))
	calls := flags.String("calls", strings.Join(phases(), ","), "calls of sqlite and postgres to measure; start always runs")
	flags.StringVar(&o.program, "program", "", "program to measure; default: built from the source")
	flags.IntVar(&o.rounds, "rounds", 3, "runs of each work")
	flags.IntVar(&o.clients, "clients", 64, "concurrent connections")
	flags.IntVar(&o.rate, "rate", 2000, "whole lives per second in the open loop")
	flags.IntVar(&o.waiting, "waiting", 1_000_000, "number of verifications of the work waiting")
	flags.IntVar(&o.dueRate, "due-rate", 1000, "rate of due verifications of the work waiting, per second")
	flags.IntVar(&o.finished, "finished", 1_000_000, "verifications in the large archive of the work history")
	flags.IntVar(&o.little, "little", 10_000, "verifications in the small archive of the work history")
	flags.IntVar(&o.pastRate, "past-rate", 500, "whole lives per second of the work history")
	seconds := flags.Float64("seconds", 6, "maximum length of each measurement")
	flags.StringVar(&o.keep, "dir", "", "new directory that keeps databases and logs; default: a temporary one")
	peers := flags.String("peers", "", "directory with adapters of peers, such as bench/peers")
	flags.DurationVar(&o.within, "within", time.Second, "maximum time from the answer of a valid start to its SMS")
	flags.StringVar(&o.json, "json", "", "file for the measurements of each round")
	flags.BoolVar(&o.parts, "parts", true, "profile the server and print its CPU time by part")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.spell = time.Duration(*seconds * float64(time.Second))
	o.only, o.phases = strings.Split(*only, ","), map[string]bool{}
	for _, name := range o.only {
		if !slices.Contains(works(), name) {
			return o, fmt.Errorf("-only: unknown work %q", name)
		}
	}
	for name := range strings.SplitSeq(*calls, ",") {
		if !slices.Contains(phases(), name) {
			return o, fmt.Errorf("-calls: unknown call %q", name)
		}
		o.phases[name] = true
	}
	if flags.NArg() > 0 || min(o.rounds, o.clients, o.rate, o.waiting, o.dueRate, o.finished, o.little, o.pastRate) < 1 || o.spell <= 0 {
		return o, errors.New("all numbers must be more than 0, and arguments other than flags are not allowed")
	}
	if most := newNumbers().count(); o.waiting > most {
		return o, fmt.Errorf("-waiting: at most %d", most)
	}
	if o.peers, err = readPeers(*peers); err != nil {
		return o, fmt.Errorf("-peers: %w", err)
	}
	return o, nil
}

// run measures and prints.
func (o options) run(ctx context.Context, out, progress io.Writer) (err error) {
	debug.SetGCPercent(400) // fewer collections, since the load has enough memory
	b := &bench{options: o}
	began := time.Now()
	b.log = func(format string, args ...any) {
		fmt.Fprintf(progress, "%4.0f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if b.dir = o.keep; b.dir != "" {
		err = mkdir(b.dir)
	} else {
		b.dir, err = os.MkdirTemp("", "countersign-speed")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if b.program = o.program; b.program == "" {
		b.program = filepath.Join(b.dir, "countersign")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.program, "countersign/cmd/countersign")
		build.Stderr = progress
		if err := build.Run(); err != nil {
			return fmt.Errorf("build: %w", err)
		}
	}
	for i := range o.rounds {
		b.log("round %d of %d", i+1, o.rounds)
		if err := b.round(ctx); err != nil {
			return err
		}
	}
	return b.print(out)
}

func (b *bench) close() error {
	var err error
	if b.keep == "" {
		err = os.RemoveAll(b.dir)
	}
	if b.postgres != nil {
		err = errors.Join(err, b.postgres.Close())
	}
	return err
}

// print writes the tables. It returns an error if a result is invalid.
func (b *bench) print(out io.Writer) error {
	fmt.Fprintf(out, "%d processors, %s, %s; %d connections; medians of %d\n\n", runtime.NumCPU(), runtime.Version(),
		time.Now().UTC().Format("2006-01-02"), b.clients, b.rounds)
	fmt.Fprintln(out, b.results.tables(b.clients, b.workName, append(peerComparisons(b.peers), b.historyComparisons()...)))
	fmt.Fprintln(out, b.commands())
	if b.json != "" {
		text, err := json.MarshalIndent(b.results, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if len(b.missing) > 0 {
		return fmt.Errorf("invalid results:\n%s", strings.Join(b.missing, "\n"))
	}
	return nil
}

// workName returns the name of a work in the table.
func (b *bench) workName(work string) string {
	names := map[string]string{
		"fsync": "limit: fsync of 8 kB", "log": "limit: fsync of 256 kB", "grouped": "limit: grouped SQLite commits", "http": "limit: bare net/http",
		"pgbench": "limit: pgbench INSERT",
	}
	if name, ok := names[work]; ok {
		return name
	}
	what, engine, _ := strings.Cut(work, " ")
	engine, finished, past := strings.Cut(engine, " beside ")
	if name, ok := map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}[engine]; ok {
		engine = name
	}
	switch {
	case past:
		what, engine = "whole life", engine+", beside "+finished+" finished"
	case what == "life":
		what = "whole life"
	case what == "open":
		what = "whole life over SMPP"
	case what == "waiting":
		what = fmt.Sprintf("%s waiting, %d due a second", count(float64(b.waiting)), b.dueRate)
	}
	return what + ", " + engine
}

// commands describes how to measure each limit.
func (b *bench) commands() string {
	var list []string
	for _, work := range b.results.Order {
		command := "go run ./bench/speed -only " + work
		switch work {
		case "fsync":
			command += ": write 8 kB, fdatasync, one after the other"
		case "log":
			command += ": the same with 256 kB"
		case "grouped":
			command += fmt.Sprintf(": %d goroutines insert rows of %d octets, one writer commits what waits (WAL, synchronous=FULL, the server's driver)", b.clients, rowOctets)
		case "http":
			command += ": a server of net/http in its own process that reads the body and answers 62 octets of JSON, asked by the same load"
		case "pgbench":
			command = "pgbench " + strings.Join(pgbenchArgs(b.clients, b.spell), " ") + " <<< \"" + strings.TrimSpace(pgbenchScript) + "\" (in " + command + ")"
		default:
			continue
		}
		list = append(list, "- "+b.workName(work)+": `"+command+"`")
	}
	return strings.Join(list, "\n")
}

func mkdir(dir string) error { return os.Mkdir(dir, 0o700) }
