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

// cli is the command line. docs/reference/command-line.md repeats its help texts.
type cli struct {
	Demo      demoCmd      `cmd:"" help:"Run a demo server with a virtual phone and demo accounts, without setup."`
	Serve     serveCmd     `cmd:"" help:"Run the server from a configuration."`
	Check     checkCmd     `cmd:"" help:"Check a configuration and its environment; report each problem with a remedy. Changes no data."`
	Account   accountCmd   `cmd:"" help:"Manage accounts: the applications that verify numbers."`
	Number    numberCmd    `cmd:"" help:"Block and unblock numbers, show or reset their counters, erase numbers."`
	Keys      keysCmd      `cmd:"" help:"Show or rotate the encryption keys."`
	Retention retentionCmd `cmd:"" help:"Show the state of data retention, or confirm the clock after a jump."`
	Search    searchCmd    `cmd:"" name:"verification" help:"List and show verifications."`
	Explain   explainCmd   `cmd:"" help:"Explain a number or a verification: recent history, refused starts, and the result of a start now."`
	Audit     auditCmd     `cmd:"" help:"Show the audit log."`
	Fraud     fraudCmd     `cmd:"" help:"List and lift the blocks of velocity rules."`
	Template  templateCmd  `cmd:"" help:"Review the message templates submitted by accounts."`
	Price     priceCmd     `cmd:"" help:"Show or change price lists: prices for accounts and costs of carriers."`
	Ledger    ledgerCmd    `cmd:"" help:"List, export or check the ledger of charges."`
	Carriers  carriersCmd  `cmd:"" help:"Show carrier status: binds, window, rate, last errors."`
	SMS       smsCmd       `cmd:"" name:"sms" help:"Test an SMPP carrier."`
	Call      callCmd      `cmd:"" help:"Place a test call over a SIP trunk, bypassing the server."`
	Message   messageCmd   `cmd:"" help:"Preview the messages of a language."`
	Backup    backupCmd    `cmd:"" help:"Copy the SQLite database to a new file while the server runs. The copy does not include the key file."`
	Restore   restoreCmd   `cmd:"" help:"Replace the SQLite database with a backup. Stop the server first."`
	Migrate   migrateCmd   `cmd:"" help:"Migrate the database schema, show its version, or move to PostgreSQL."`
	Smsc      smscCmd      `cmd:"" name:"smsc" help:"Run a test SMSC that receives messages over SMPP, prints them, and simulates faults."`
	Phone     phoneCmd     `cmd:"" help:"Run a test SIP phone that receives calls, prints their results, and records the audio."`
	Version   versionCmd   `cmd:"" help:"Print version, commit, build time and Go version."`

	Completion completionCmd `cmd:"" help:"Print a shell script that completes commands, flags and values."`
	Candidates candidatesCmd `cmd:"" name:"__complete" hidden:"" help:"Print the completions of a command line."`

	Quiet       bool        `short:"q" group:"Output" help:"Print only ids."`
	ShowVersion versionFlag `name:"version" help:"Print the version and exit."`
}

// process is the environment of a command.
type process struct {
	ctx        context.Context //nolint:containedctx // lifetime of the process
	environ    []string
	terminal   io.Reader // answers to confirmations; nil without a terminal
	stdout     io.Writer
	stderr     io.Writer
	clock      clockwork.Clock
	configFile string // read if neither --config nor COUNTERSIGN_CONFIG is set; may be missing

	quiet    bool           // print only ids
	settings config.Sources // origins of the loaded settings
}

// defaultConfigFile is the configuration file of an installation.
const defaultConfigFile = "/etc/countersign/countersign.yaml"

func newProcess(ctx context.Context, environ []string, stdout, stderr io.Writer) *process {
	return &process{
		ctx: ctx, environ: environ, stdout: stdout, stderr: stderr, clock: clockwork.NewRealClock(), configFile: defaultConfigFile,
	}
}

func (p *process) now() time.Time { return p.clock.Now().UTC() }

// steady makes the time of a server independent of steps of the wall clock.
func (p *process) steady(log *slog.Logger, maxSkew time.Duration) *clock.Steady {
	s := clock.New(clock.Config{Log: log, MaxSkew: maxSkew})
	p.clock = s
	return s
}

// follow makes the command use the clock of a shared database, so that its dates agree
// with the nodes.
func (p *process) follow(db *store.DB) error {
	if !db.Shared() {
		return nil
	}
	s := clock.New(clock.Config{})
	p.clock = s
	return s.Follow(p.ctx, db.ServerTime)
}

// printf prints text, except with --quiet.
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

// confirmFlag is shared by the commands that require confirmation.
type confirmFlag struct {
	Yes bool `short:"y" help:"Skip the confirmation on a terminal."`
}

// confirm prints a question and returns an error unless the answer is yes. Without a
// terminal it returns nil, so scripts do not need --yes.
func (f confirmFlag) confirm(p *process, format string, args ...any) error {
	if f.Yes || p.terminal == nil {
		return nil
	}
	_, _ = fmt.Fprintf(p.stderr, format+" Continue? [y/N] ", args...) // a closed stderr has no remedy
	answer, err := bufio.NewReader(p.terminal).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the confirmation: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed; no change was made")
}

// writeOut writes a recording, readable only by its owner: it may contain a code. For "-"
// it writes to standard output, and later output is printed to standard error.
func (p *process) writeOut(name string, data []byte) error {
	if name != "-" {
		return atomicfile.WriteFile(name, data, 0o600)
	}
	_, err := p.stdout.Write(data)
	p.stdout = p.stderr
	return err
}

// exit is the panic value that replaces the end of the process in kong.
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
		panic(err) // an invalid cli struct
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

func newParser(line *cli, p *process) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("countersign"),
		kong.Description("A self-hosted phone-verification server with the Verify API."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(p),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration)),
	)
}

// configFlag is shared by the commands that read the configuration.
type configFlag struct {
	Config string `help:"Configuration file (YAML). Default: COUNTERSIGN_CONFIG, then /etc/countersign/countersign.yaml. COUNTERSIGN_* variables override it." placeholder:"FILE"`
}

// file returns the path of the configuration file and its origin; both are "" without a file.
func (f configFlag) file(p *process) (path, from string) {
	switch {
	case strings.HasPrefix(f.Config, "~/"): // shells expand it only at the start of a word
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

// load reads the configuration and keeps the origins of its settings.
func (f configFlag) load(p *process) (cfg config.Config, err error) {
	path, from := f.file(p)
	cfg, p.settings, err = config.Read(path, p.environ)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w (from %s)", err, from)
	}
	return cfg, err
}

// valid reports every invalid setting with its place.
func (p *process) valid(cfg config.Config) error { return p.settings.Locate(cfg.Validate()) }

// open opens the database of an existing installation. A server may be running.
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

// change opens the database for one change and closes it.
func (f configFlag) change(p *process, do func(*store.DB) error) error {
	db, err := f.open(p)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}
