package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The account of the load. Its directory is temporary.
const (
	account = "bench001"
	secret  = "secret-of-the-bench"
)

// settings is the configuration of the server under load, with defaults except for two limits. The
// account has a higher rate limit than any real one; its requests are still counted. The fraud
// rule against unverified starts in a country has a high limit, because the load has many. All
// other caps and rules have their defaults and are on.
const settings = `listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
database: %q
key_file: %q
admin: {token_file: %q}
limits: {requests_per_second: 65535}
fraud: {rules: {unverified: {country: 1000000}}}
carriers: [%s]
routes: [{carriers: [a]}]
`

// server is a running "countersign serve".
type server struct {
	program, dir, config string
	database             string // value in the configuration
	carrier              string
	cmd                  *exec.Cmd
	log                  *os.File
	url, ops             string
	record               string // path of the sink's record; "" for another carrier
}

// newServer writes the configuration of a server to a new directory. database is "" for a file in
// it, and carrier is "" for the sink.
func newServer(program, dir, database, carrier string) (*server, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	s := &server{program: program, dir: dir, config: filepath.Join(dir, "config.yaml"), database: database, carrier: carrier}
	if database == "" {
		s.database = "sqlite:" + s.file()
	}
	if carrier == "" {
		s.record = filepath.Join(dir, "record")
		s.carrier = fmt.Sprintf("{name: a, type: sink, record: %q}", s.record)
	}
	text := fmt.Sprintf(settings, s.database, filepath.Join(dir, "key"), filepath.Join(dir, "admin-token"), s.carrier)
	return s, os.WriteFile(s.config, []byte(text), 0o600)
}

// file returns the path of the SQLite database.
func (s *server) file() string { return filepath.Join(s.dir, "countersign.db") }

// startTimeout is the maximum time until a server is ready.
const startTimeout = 2 * time.Minute

// start starts the server, and returns when its log reports that it is ready. The log, which is
// also the access log, is a file.
func (s *server) start(ctx context.Context) (err error) {
	if s.log, err = os.OpenFile(filepath.Join(s.dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	begin, err := s.log.Seek(0, 2)
	if err != nil {
		return err
	}
	s.cmd = exec.Command(s.program, "serve", "--config", s.config) //nolint:noctx // stop ends it, so that it can shut down gracefully
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.url = ""
	for end := time.Now().Add(startTimeout); s.url == ""; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(s.log.Name())
		if err != nil {
			return err
		}
		text = text[min(begin, int64(len(text))):]
		for line := range bytes.Lines(text) {
			var entry struct {
				Msg string
				URL string
				Ops string `json:"ops_url"`
			}
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
				s.url, s.ops = entry.URL, entry.Ops
			}
		}
		if s.url != "" {
			break
		}
		if over := syscall.Kill(s.cmd.Process.Pid, 0); over != nil || time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("server did not start: %w\n%s", errors.Join(over, ctx.Err(), s.stop()), text)
		}
	}
	return nil
}

// createAccount creates the account with sufficient credit and rate limit.
func (s *server) createAccount(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, s.program, "account", "create", "bench", "--config", s.config,
		"--key", account, "--secret", secret, "--credit", "1000000000", "--rate", "65535", "--pin-code").CombinedOutput()
	if err != nil {
		return fmt.Errorf("create account: %w: %s", err, out)
	}
	return nil
}

func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	err = errors.Join(err, s.cmd.Wait(), s.log.Close())
	s.cmd = nil
	return err
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// system returns the server as the target of a load. The load sets the PIN of a verification, since
// it cannot read the message.
func (s *server) system(name string) (*system, error) {
	address := s.url[len("http://"):]
	login := "api_key=" + account + "&api_secret=" + secret
	sys := &system{name: name, address: address, calls: map[string]*call{}, numbers: newNumbers()}
	for what, a := range map[string]ask{
		"start": {
			Path: "/verify/json", Body: login + "&number={number}&brand=Acme&pin_code={pin}",
			Contains: `"status":"0"`, Keep: []string{"request_id"},
		},
		"check": {Path: "/verify/check/json", Body: login + "&request_id={request_id}&code={pin}", Contains: `"status":"0"`},
		"search": {
			Method: "GET", Path: "/verify/search/json?" + login + "&request_id={request_id}", Contains: `"date_submitted":`,
		},
	} {
		c, err := a.compile(address, []string{"request_id"})
		if err != nil {
			return nil, err
		}
		sys.calls[what] = c
	}
	return sys, nil
}

// used returns the usage of the server until now.
func (s *server) used(ctx context.Context) (usage, error) {
	u, err := spent(s.pid())
	if err != nil {
		return u, err
	}
	found, err := metric(ctx, s.ops, "go_memstats_mallocs_total")
	if err != nil {
		return u, err
	}
	u.mallocs = math.NaN()
	if n, ok := found["go_memstats_mallocs_total"]; ok {
		u.mallocs = n
	}
	return u, nil
}

// waitMetric waits until the sum of a metric is at least n, for at most answerTimeout: the
// measurements show missing values.
func waitMetric(ctx context.Context, s *server, name string, n int) error {
	for end := time.Now().Add(answerTimeout); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		found, err := metric(ctx, s.ops, name)
		if err != nil || found[name] >= float64(n) {
			return err
		}
	}
	return nil
}
