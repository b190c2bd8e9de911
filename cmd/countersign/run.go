package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
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
	Check     checkCmd     `cmd:"" help:"Find mistakes in a configuration and its surroundings, each with its remedy. Changes nothing."`
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
	Version   versionCmd   `cmd:"" help:"Print version, commit, build time and Go version."`

	Completion completionCmd `cmd:"" help:"Print a script that completes commands, flags and their values in a shell."`
	Candidates candidatesCmd `cmd:"" name:"__complete" hidden:"" help:"Print the words that may follow."`

	Quiet       bool        `short:"q" group:"Output" help:"Print only ids."`
	ShowVersion versionFlag `name:"version" help:"Print the version and exit."`
}

// process is what a command may use of the world around it.
type process struct {
	ctx        context.Context //nolint:containedctx // the life of the process
	environ    []string
	terminal   io.Reader // answers of a person; nil without a terminal
	stdout     io.Writer
	stderr     io.Writer
	clock      clockwork.Clock
	configFile string // read if neither --config nor COUNTERSIGN_CONFIG is set; it may be missing

	quiet    bool           // print only ids
	settings config.Sources // places of the settings that a command has loaded
}

// defaultConfigFile is the configuration file of an installation.
const defaultConfigFile = "/etc/countersign/countersign.yaml"

func newProcess(ctx context.Context, environ []string, stdout, stderr io.Writer) *process {
	return &process{
		ctx: ctx, environ: environ, stdout: stdout, stderr: stderr, clock: clockwork.NewRealClock(), configFile: defaultConfigFile,
	}
}

func (p *process) now() time.Time { return p.clock.Now().UTC() }

// steady makes the time of the process independent of steps of the wall clock, for a
// server.
func (p *process) steady(log *slog.Logger, maxSkew time.Duration) *clock.Steady {
	s := clock.New(clock.Config{Log: log, MaxSkew: maxSkew})
	p.clock = s
	return s
}

// follow makes the clock of a shared database the clock of the command: its dates agree
// with the dates of the nodes.
func (p *process) follow(db *store.DB) error {
	if !db.Shared() {
		return nil
	}
	s := clock.New(clock.Config{})
	p.clock = s
	return s.Follow(p.ctx, db.ServerTime)
}

// printf prints text for people, unless --quiet is set.
func (p *process) printf(format string, args ...any) {
	if !p.quiet {
		_, _ = fmt.Fprintf(p.stdout, format, args...) // a closed stdout has no remedy
	}
}

// essential prints lines even with --quiet.
func (p *process) essential(lines ...string) {
	for _, line := range lines {
		_, _ = fmt.Fprintln(p.stdout, line) // a closed stdout has no remedy
	}
}

// confirmFlag is shared by the commands that ask for confirmation.
type confirmFlag struct {
	Yes bool `short:"y" help:"Skip the confirmation on a terminal."`
}

// confirm prints a question and returns an error unless the answer is yes. Without a terminal it
// returns nil, so that scripts need no --yes.
func (f confirmFlag) confirm(p *process, format string, args ...any) error {
	if f.Yes || p.terminal == nil {
		return nil
	}
	_, _ = fmt.Fprintf(p.stderr, format+" Continue? [y/N] ", args...) // a closed stderr has no remedy
	answer, err := bufio.NewReader(p.terminal).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed; no change was made")
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

func (p *process) run(args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	var line cli
	parser, err := newParser(&line, p)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	var command *kong.Context
	if err = checkRepeated(args); err == nil {
		command, err = parser.Parse(args)
	}
	if err != nil {
		p.complain(misused(err))
		return exitUsage
	}
	p.quiet = line.Quiet
	if err := command.Run(); err != nil {
		p.complain(named(err, command))
		return exitCode(err, command)
	}
	return exitOK
}

// newParser returns the parser of the command line.
func newParser(line *cli, p *process) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("countersign"),
		kong.Description("A self-hosted phone-verification server that speaks the Verify API."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(p),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration)),
	)
}

// configFlag is shared by the commands that work on an installation.
type configFlag struct {
	Config string `help:"Configuration file (YAML); then COUNTERSIGN_CONFIG, then /etc/countersign/countersign.yaml. COUNTERSIGN_* variables override it." placeholder:"FILE"`
}

// file returns the path of the configuration file and its origin, both "" without a file.
func (f configFlag) file(p *process) (path, from string) {
	switch {
	case strings.HasPrefix(f.Config, "~/"): // a shell expands it only at the beginning of a word
		return kong.ExpandPath(f.Config), "--config"
	case f.Config != "":
		return f.Config, "--config" // errors repeat it unchanged
	}
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, config.FileVariable+"="); ok && value != "" {
			return value, config.FileVariable
		}
	}
	if _, err := os.Stat(p.configFile); errors.Is(err, fs.ErrNotExist) {
		return "", ""
	}
	return p.configFile, "the default"
}

// load reads the configuration, and remembers where its settings come from.
func (f configFlag) load(p *process) (cfg config.Config, err error) {
	path, from := f.file(p)
	cfg, p.settings, err = config.Read(path, p.environ)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w (from %s)", err, from)
	}
	return cfg, err
}

// valid reports every setting that cannot work, with its place.
func (p *process) valid(cfg config.Config) error { return p.settings.Locate(cfg.Validate()) }

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
