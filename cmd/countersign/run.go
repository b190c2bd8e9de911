package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jonboulle/clockwork"

	"countersign/internal/atomicfile"
	"countersign/internal/clock"
	"countersign/internal/config"
	"countersign/internal/store"
)

// cli is the command line. The help texts are its documentation, and
// docs/reference/command-line.md repeats them.
type cli struct {
	Demo      demoCmd      `cmd:"" help:"Run a server to try out, with a virtual phone, demo accounts and nothing to set up."`
	Serve     serveCmd     `cmd:"" help:"Run the server from a configuration."`
	Account   accountCmd   `cmd:"" help:"Manage accounts: the applications that may verify numbers."`
	Number    numberCmd    `cmd:"" help:"Manage blocked numbers, see what is counted of a number, and forget numbers."`
	Keys      keysCmd      `cmd:"" help:"Show or replace the keys under which secrets lie."`
	Retention retentionCmd `cmd:"" help:"Show whether old data is deleted, or confirm the clock after it jumped."`
	Search    searchCmd    `cmd:"" name:"verification" help:"Find out what became of verifications."`
	Explain   explainCmd   `cmd:"" help:"Explain a number or a verification: recent history, refused starts, and the result of a start now."`
	Audit     auditCmd     `cmd:"" help:"Show who changed what."`
	Fraud     fraudCmd     `cmd:"" help:"Show what the velocity rules block, and lift blocks."`
	Template  templateCmd  `cmd:"" help:"Decide on the templates that accounts have handed in: their own words for messages."`
	Price     priceCmd     `cmd:"" help:"Show or change price lists: what accounts pay, and what carriers charge."`
	Ledger    ledgerCmd    `cmd:"" help:"Show what was charged, export it, or check it."`
	Carriers  carriersCmd  `cmd:"" help:"Show how the carriers of the running server are: binds, window, rate, last errors."`
	SMS       smsCmd       `cmd:"" name:"sms" help:"Try a carrier."`
	Call      callCmd      `cmd:"" help:"Make one call over a SIP trunk, past the server, to see that it works."`
	Message   messageCmd   `cmd:"" help:"See and hear what messages say."`
	Backup    backupCmd    `cmd:"" help:"Copy the SQLite database to a new file while the server runs. The key file is not in it."`
	Restore   restoreCmd   `cmd:"" help:"Put a backup in the place of the SQLite database, while the server is stopped."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the schema of the database up to date, show how it is, or move to PostgreSQL."`
	Smsc      smscCmd      `cmd:"" name:"smsc" help:"Run an SMSC to rehearse with: it takes messages over SMPP, prints them, and misbehaves as told."`
	Phone     phoneCmd     `cmd:"" help:"Run a SIP phone to rehearse with: it takes calls, prints how they went, and records what it heard."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// process is what a command may use of the world around it.
type process struct {
	ctx     context.Context //nolint:containedctx // the life of the process
	environ []string
	stdout  io.Writer
	stderr  io.Writer
	clock   clockwork.Clock
}

func (p *process) now() time.Time { return p.clock.Now().UTC() }

// steady makes the time of the process independent of steps of the wall clock, for a
// server.
func (p *process) steady(log *slog.Logger, maxSkew time.Duration) *clock.Steady {
	s := clock.New(clock.Config{Log: log, MaxSkew: maxSkew})
	p.clock = s
	return s
}

// follow makes the time of a shared database that of the command, so that the dates it
// writes agree with those of the nodes.
func (p *process) follow(db *store.DB) error {
	if !db.Shared() {
		return nil
	}
	s := clock.New(clock.Config{})
	p.clock = s
	return s.Follow(p.ctx, db.ServerTime)
}

func (p *process) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdout, format, args...) // nobody to tell when stdout is closed
}

// writeOut writes a file with a recording, which only its owner may read: it may hold a
// code. "-" is standard output; then everything else that is printed goes to standard
// error.
func (p *process) writeOut(name string, data []byte) error {
	if name != "-" {
		return atomicfile.WriteFile(name, data, 0o600)
	}
	_, err := p.stdout.Write(data)
	p.stdout = p.stderr
	return err
}

// exit is what kong panics with where it would end the process.
type exit int

// run is the whole program but for its exit.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	p := &process{ctx, environ, stdout, stderr, clockwork.NewRealClock()}
	parser, err := kong.New(&cli{},
		kong.Name("countersign"),
		kong.Description("A self-hosted phone-verification server that speaks the Verify API."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(p),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration)),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	var command *kong.Context
	if err = checkRepeated(args); err == nil {
		command, err = parser.Parse(args)
	}
	if err != nil {
		parser.Errorf("%s", err)
		return 2
	}
	if err := command.Run(); err != nil {
		parser.Errorf("%s", reasons(named(err, command)))
		return 1
	}
	return 0
}

// reasons is the text of an error with each line once: parts that fail for one reason, and
// a driver that tries several times, repeat it.
func reasons(err error) string {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.TrimSpace(l) == strings.TrimSpace(line) }) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// configFlag is shared by the commands that work on an installation.
type configFlag struct {
	Config string `help:"Configuration file (YAML). COUNTERSIGN_* variables are read over it." type:"path" placeholder:"FILE"`
}

func (f configFlag) load(p *process) (config.Config, error) {
	return config.Load(f.Config, p.environ)
}

// open opens the database of an installation for a command that works on it while
// a server may be running.
func (f configFlag) open(p *process) (*store.DB, error) {
	cfg, err := f.load(p)
	if err != nil {
		return nil, err
	}
	database, key, err := f.existing(p, cfg)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(p.ctx, store.Config{Database: database, Key: key, Log: newLogger(p.stderr, logLevel("warn"), "text")})
	if err != nil {
		return nil, err
	}
	if err := p.follow(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// change opens the database for one change.
func (f configFlag) change(p *process, do func(*store.DB) error) error {
	db, err := f.open(p)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}
