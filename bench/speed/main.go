// Command speed measures how fast a server is, next to what the machine it is on can
// do at most, and prints one table of medians and their ratios.
//
// The server is the program itself ("countersign serve") in a process of its own, as
// it is shipped: every commit on disk, the fraud guard on, every request in its log.
// Its database is in a temporary directory, of SQLite or of a PostgreSQL that is
// started for it. Its carrier is a sink, or an SMSC where the way of a message is
// measured; nothing leaves the loopback. docs/explanation/performance.md says how to
// read what it prints.
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

// options are what can be asked for.
type options struct {
	program string
	only    []string
	phases  map[string]bool // of the calls: start, check, search, life
	rounds  int
	clients int
	rate    int // of the open loop, a second

	waiting  int // verifications that wait for their second message
	dueRate  int // how many of them fall due in a second
	finished int // verifications in the archive
	little   int // and in one that it is compared with
	pastRate int // whole lives a second beside the archive
	spell    time.Duration
	within   time.Duration // of its answer, in which the SMS of a start must have left
	json     string
	keep     string // where files stay; "" for nowhere
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
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// works are what can be measured, in the order of a round: what is compared stands
// next to each other.
func works() []string {
	return []string{"fsync", "log", "grouped", "sqlite", "http", "pgbench", "postgres", "open", "idle", "waiting", "history"}
}

// slow are the works that are only done when they are asked for.
func slow() []string { return []string{"waiting", "history"} }

func phases() []string { return []string{"start", "check", "search", "life"} }

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("speed", flag.ContinueOnError)
	flags.SetOutput(out)
	usual := slices.DeleteFunc(works(), func(work string) bool { return slices.Contains(slow(), work) })
	only := flags.String("only", strings.Join(usual, ","), "works to measure, of "+strings.Join(works(), ", "))
	calls := flags.String("calls", strings.Join(phases(), ","), "calls of sqlite and postgres to measure; starts are always made")
	flags.StringVar(&o.program, "program", "", "the program to measure; built from the source if empty")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each work is measured")
	flags.IntVar(&o.clients, "clients", 64, "connections at a time")
	flags.IntVar(&o.rate, "rate", 2000, "whole lives a second in the open loop")
	flags.IntVar(&o.waiting, "waiting", 1_000_000, "of the work waiting: how many verifications wait")
	flags.IntVar(&o.dueRate, "due-rate", 1000, "how many of them fall due in a second")
	flags.IntVar(&o.finished, "finished", 1_000_000, "of the work history: how many are in the archive")
	flags.IntVar(&o.little, "little", 10_000, "how many are in the one that it is compared with")
	flags.IntVar(&o.pastRate, "past-rate", 500, "whole lives a second beside the archive")
	seconds := flags.Float64("seconds", 6, "how long each measurement takes, at most")
	flags.StringVar(&o.keep, "dir", "", "directory, not there yet, in which databases and logs are made and stay; a temporary one if empty")
	peers := flags.String("peers", "", "directory with adapters of peers to measure, too, such as bench/peers")
	flags.DurationVar(&o.within, "within", time.Second, "how soon after the answer to a start its SMS must have left, for the start to count")
	flags.StringVar(&o.json, "json", "", "file that gets what each round has measured")
	flags.BoolVar(&o.parts, "parts", true, "profile the server and print its CPU time by part")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.spell = time.Duration(*seconds * float64(time.Second))
	o.only, o.phases = strings.Split(*only, ","), map[string]bool{}
	for _, name := range o.only {
		if !slices.Contains(works(), name) {
			return o, fmt.Errorf("-only: there is no work %q", name)
		}
	}
	for name := range strings.SplitSeq(*calls, ",") {
		if !slices.Contains(phases(), name) {
			return o, fmt.Errorf("-calls: there is no call %q", name)
		}
		o.phases[name] = true
	}
	if flags.NArg() > 0 || min(o.rounds, o.clients, o.rate, o.waiting, o.dueRate, o.finished, o.little, o.pastRate) < 1 || o.spell <= 0 {
		return o, errors.New("all numbers must be more than 0, and nothing but flags is taken")
	}
	if most := newNumbers().count(); o.waiting > most {
		return o, fmt.Errorf("-waiting: there are only %d numbers", most)
	}
	if o.peers, err = readPeers(*peers); err != nil {
		return o, fmt.Errorf("-peers: %w", err)
	}
	return o, nil
}

// run measures and prints.
func (o options) run(ctx context.Context, out, progress io.Writer) (err error) {
	debug.SetGCPercent(400) // the load has memory, and no time
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

// print writes the tables, and fails if anything was not as it must be.
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
		return fmt.Errorf("not everything went as it must:\n%s", strings.Join(b.missing, "\n"))
	}
	return nil
}

// workName is what a work is called in the table.
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

// commands tells how each limit was measured.
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
