package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"countersign/internal/adminapi"
	"countersign/internal/atomicfile"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
)

type demoCmd struct {
	Listen    string   `help:"Address to listen on. Default: ${default}." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	OpsListen string   `help:"Address for /healthz, /readyz and /metrics. Default: none." placeholder:"HOST:PORT"`
	Admin     string   `help:"Address of the admin API; an empty value disables it. Default: ${default}." name:"admin-listen" default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	Data      string   `help:"Directory of the database. Default: a new temporary directory." type:"path" placeholder:"DIR"`
	Database  string   `help:"PostgreSQL database, instead of a file in --data. Several demos can share it." placeholder:"URL"`
	Speed     int      `help:"Speed-up factor for the waits and expiries of verifications. Default: ${default}." default:"1" placeholder:"N"`
	Unlimited bool     `help:"Lift the limits on requests, credit and messages per number."`
	Public    bool     `help:"Allow addresses reachable from other machines. The demo's secrets are published."`
	Names     []string `help:"DNS name for browsers to reach the phone, besides localhost and IP addresses. Repeatable." name:"name" placeholder:"NAME"`
	TLS       bool     `help:"Serve HTTPS with a new self-signed certificate." name:"tls"`
	TLSCert   string   `help:"Certificate file (PEM) for HTTPS." type:"path" placeholder:"FILE"`
	TLSKey    string   `help:"Key file (PEM) for HTTPS." type:"path" placeholder:"FILE"`
	LogLevel  string   `help:"Minimum log level: debug, info, warn or error. Logs go to standard error." enum:"debug,info,warn,error" default:"warn"`
}

const maxSpeed = 10_000

// Run serves the demonstration until a signal ends the process.
func (c *demoCmd) Run(p *process) (err error) {
	defer p.endOnHangup()()
	defer surviveClosedPipes()()
	if c.Speed < 1 || c.Speed > maxSpeed {
		return usagef("--speed must be from 1 to %d", maxSpeed)
	}
	cfg := server.DemoConfig()
	cfg.Listen, cfg.OpsListen = c.Listen, c.OpsListen
	cfg.Server.Names = c.Names
	cfg.TLS = config.TLS{Cert: c.TLSCert, Key: c.TLSKey}
	dir := c.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "countersign-demo-"); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	cfg.Database = cmp.Or(c.Database, "sqlite:"+filepath.Join(dir, "countersign.db"))
	cfg.KeyFile = filepath.Join(dir, "key")
	cfg.Admin.Listen, cfg.Admin.TokenFile = c.Admin, filepath.Join(dir, "admin-token")
	for _, address := range []string{c.Listen, c.OpsListen, c.Admin} {
		if !c.Public && address != "" && !config.Loopback(address) {
			return fmt.Errorf("%s is reachable from other machines, and the demo's secrets are published; use a loopback address, or --public to allow it", address)
		}
	}
	key, err := c.key(p, cfg)
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, logLevel(c.LogLevel), "text")
	origin := thisBuild()
	opts := server.Options{
		Config: cfg, Key: key, Log: log, Clock: p.steady(log, cfg.Clock.MaxSkew),
		Speed: c.Speed, Unlimited: c.Unlimited, LogRefusals: true, DrainFor: drainFor / 4,
		Version: origin.Version, Commit: origin.Commit,
	}
	if c.TLS && c.TLSCert == "" {
		var pem []byte
		if opts.TLS, pem, err = server.SelfSigned(p.now()); err != nil {
			return err
		}
		if err := atomicfile.WriteFile(certFile(dir), pem, 0o644); err != nil { // certificates are public
			return fmt.Errorf("write certificate: %w", err)
		}
	}
	s, err := server.New(p.ctx, opts)
	if busy, ok := errors.AsType[*server.ListenError](err); ok {
		busy.Setting = map[string]string{"listen": "--listen", "ops_listen": "--ops-listen", "admin.listen": "--admin-listen"}[busy.Setting]
	}
	if err != nil {
		return err
	}
	if err := started(opts.Config.KeyFile); err != nil {
		return cmp.Or(err, s.Close())
	}
	if err := server.SeedDemo(p.ctx, s.Store(), c.Unlimited, p.now()); err != nil {
		return cmp.Or(err, s.Close())
	}
	c.greet(p, s, dir)
	return s.Serve(p.ctx)
}

// key returns the key in the data directory, or the published key of demos on PostgreSQL.
func (c *demoCmd) key(p *process, cfg config.Config) (vault.Key, error) {
	if !store.IsPostgres(c.Database) {
		key, err := p.startable(cfg, false, slog.New(slog.DiscardHandler)) // usually new: no warning
		return key, err
	}
	if err := p.valid(cfg); err != nil {
		return vault.Key{}, err
	}
	return server.DemoKey(), nil
}

func certFile(dir string) string { return filepath.Join(dir, "cert.pem") }

func (c *demoCmd) greet(p *process, s *server.Server, dir string) {
	url, data := s.URL(), dir
	if store.IsPostgres(c.Database) {
		data = store.Redact(c.Database)
	}
	curl := "curl"
	if c.TLS && c.TLSCert == "" {
		curl += " --cacert " + certFile(dir)
	}
	admin := "off"
	if s.AdminURL() != "" {
		admin = s.AdminURL() + adminapi.Base + ", token in " + filepath.Join(dir, "admin-token")
	}
	p.printf(`Countersign demo: the Verify API at %[1]s
The virtual phone:   %[1]s/phone
The admin API:       %[16]s

Accounts (all with secret %[2]s, signature secret %[3]s, %[4]s)
  %[5]s  has no restrictions
  %[6]s  is barred: status 8
  %[7]s  has no credit: status 9
  %[8]s  is a trial account: status 29, except %[9]s

Numbers (any other number works)
  %[10]s  has no route: status 6
  %[11]s  is blocked: status 7
  %[12]s  belongs to an unsupported network: status 15
  %[13]s  refuses every SMS; calls work

Try it:
  %[14]s %[1]s/verify/json -d api_key=%[5]s -d api_secret=%[2]s -d number=447700900000 -d brand=Acme

Data in %[15]s. Stop with Ctrl-C.
`, url, server.DemoSecret, server.DemoSignatureSecret, server.DemoSignatureMethod,
		server.DemoAccount, server.BarredAccount, server.BrokeAccount, server.TrialAccount, server.ApprovedNumber,
		server.UnroutableNumber, server.BlockedNumber, server.UnsupportedNumber, server.RefusedNumber, curl, data, admin)
}
