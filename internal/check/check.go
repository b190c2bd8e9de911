// Package check finds mistakes in an installation before a server starts: contradictory
// settings, defects of files, and limits of the process and its machine.
//
// Each check is a row of the table in checks. A check never changes the installation, and never
// sends a message.
package check

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/config"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Severity is the weight of a finding.
type Severity string

// The severities. With an error a server does not start or does not work.
const (
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Finding is one problem.
type Finding struct {
	Check    string   `json:"check"` // name of the check
	Severity Severity `json:"severity"`
	Setting  string   `json:"setting"` // key in the configuration, or a flag; may be ""
	Problem  string   `json:"problem"`
	Remedy   string   `json:"remedy"`
}

// Error returns "setting: problem; remedy".
func (f Finding) Error() string {
	text := f.Problem + "; " + f.Remedy
	if f.Setting != "" {
		text = f.Setting + ": " + text
	}
	return text
}

// Options describe the installation to check.
type Options struct {
	Config config.Config // validated
	File   string        // path of the configuration; "" without one
	Now    func() time.Time
	Log    *slog.Logger // receives the log of carriers; nil discards it
	// Connect adds a connection to every SMPP carrier, SIP trunk and HTTP gateway, and to
	// the public URL.
	Connect bool
}

// stage is the phase of a server's start in which a check runs. "countersign check" runs
// all of them.
type stage int

const (
	// byParts checks are repeated by the parts of a server, which log or return the same
	// problem when they start.
	byParts stage = iota
	// beforeKeys checks run before a new installation gets its key file.
	beforeKeys
	// onDatabase checks read the database, and run once it can be reached.
	onDatabase
	// onRequest checks run for "countersign check --connect" only.
	onRequest
)

// check is one row.
type check struct {
	name  string
	stage stage
	find  func(context.Context, *installation) []Finding
}

// checks returns all checks, in the order of their findings.
func checks() []check {
	return []check{
		{"secret files", byParts, secretFiles},
		{"key file", byParts, keyFile},
		{"directories", byParts, directories},
		{"database", byParts, reachable},
		{"clock skew", byParts, clockSkew},
		{"virtual phone", beforeKeys, virtualPhone},
		{"ports", byParts, ports},
		{"open files", byParts, openFiles},
		{"certificates", byParts, certificates},
		{"certificate names", beforeKeys, certificateNames},
		{"carrier settings", byParts, carrierSettings},
		{"carriers without a route", beforeKeys, unrouted},
		{"channels without a route", onDatabase, channels},
		{"prices", onDatabase, prices},
		{"receipts", beforeKeys, receipts},
		{"speech", beforeKeys, speech},
		{"languages", byParts, languages},
		{"connect", onRequest, connect},
	}
}

// Run runs every check, and with Connect also the connections.
func Run(ctx context.Context, o Options) []Finding {
	stages := []stage{byParts, beforeKeys, onDatabase}
	if o.Connect {
		stages = append(stages, onRequest)
	}
	return run(ctx, o, stages...)
}

// BeforeStart runs the checks that a server runs before it creates or opens anything.
func BeforeStart(ctx context.Context, o Options) []Finding { return run(ctx, o, beforeKeys) }

// OnDatabase runs the checks that a server runs once its database can be reached.
func OnDatabase(ctx context.Context, o Options) []Finding { return run(ctx, o, onDatabase) }

func run(ctx context.Context, o Options, stages ...stage) []Finding {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	in := &installation{Options: o}
	in.survey = sync.OnceValue(func() survey { return in.look(ctx) })
	found := []Finding{} // [] in JSON
	for _, c := range checks() {
		if !slices.Contains(stages, c.stage) {
			continue
		}
		for _, f := range c.find(ctx, in) {
			f.Check = c.name
			found = append(found, f)
		}
	}
	return found
}

// Invalid returns an error of [config.Load] or [config.Config.Validate] as findings, one
// for each line.
func Invalid(err error) []Finding {
	var found []Finding
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasSuffix(line, ":") { // a heading
			continue
		}
		setting, problem, ok := strings.Cut(line, ": ")
		if place.MatchString(setting) { // PLACE: SETTING: PROBLEM
			if key, rest, found := strings.Cut(problem, ": "); found {
				setting, problem = key, rest+" ("+setting+")"
			}
		}
		if !ok || strings.ContainsAny(setting, " \"") || setting == "yaml" {
			setting, problem = "--config", line
		}
		found = append(found, Finding{"configuration", Error, setting, problem, "correct the setting; docs/reference/configuration.md lists all settings"})
	}
	return found
}

// place is a file with the number of a line, or an environment variable.
var place = regexp.MustCompile(`:[0-9]+$|^COUNTERSIGN_[A-Z0-9_]+$`)

// Tally returns the number of findings of a severity.
func Tally(found []Finding, s Severity) (n int) {
	for _, f := range found {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// installation is the input of the checks.
type installation struct {
	Options
	survey func() survey // reads the database, once
}

// survey is the content of a database as far as checks need it.
type survey struct {
	state    store.State
	err      error // why state is unknown
	readErr  error // why the rest is unknown
	accounts []verify.Account
	prices   []verify.Price
}

// used reports whether accounts and prices are known.
func (s survey) used() bool { return s.err == nil && s.readErr == nil && s.state >= store.Prepared }

// surveyTimeout bounds the time for the database. It exceeds the timeout of a connection.
const surveyTimeout = 10 * time.Second

func (in *installation) look(ctx context.Context) (s survey) {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	database, err := in.Config.StoreDatabase()
	if err != nil {
		return survey{err: err}
	}
	if s.state, s.err = store.Inspect(ctx, database); s.err != nil || s.state < store.Prepared {
		return s
	}
	s.readErr = store.Look(ctx, database, func(db *store.DB) (err error) {
		if s.accounts, err = db.Accounts(ctx); err == nil {
			s.prices, err = db.Prices(ctx)
		}
		return err
	})
	return s
}

// warn and fail return one finding.
func warn(setting, problem, remedy string) []Finding {
	return []Finding{{"", Warning, setting, problem, remedy}}
}

func fail(setting, problem, remedy string) []Finding {
	return []Finding{{"", Error, setting, problem, remedy}}
}

func carrierKey(i int, setting string) string { return fmt.Sprintf("carriers[%d]%s", i, setting) }
