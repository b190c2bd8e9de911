package main

import (
	"cmp"
	"io"
	"log/slog"
	"time"

	"countersign/internal/check"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/vault"
)

type serveCmd struct {
	configFlag
	TLSCert string `help:"Certificate file (PEM) for HTTPS; overrides tls.cert." type:"path" placeholder:"FILE"`
	TLSKey  string `help:"Key file (PEM) for HTTPS; overrides tls.key." type:"path" placeholder:"FILE"`
	Init    bool   `help:"Create a new installation with an existing key file. Refuse an existing installation."`
	Strict  bool   `help:"Refuse to start if other users can read a key, token or password file."`
}

// drainFor is the time for which a stopping server answers 503, so that load balancers
// and clients with open connections switch to other servers.
const drainFor = time.Second

// settings returns the configuration, overridden by the flags.
func (c *serveCmd) settings(p *process) (config.Config, error) {
	cfg, err := c.load(p)
	if c.TLSCert != "" || c.TLSKey != "" {
		cfg.TLS = config.TLS{Cert: c.TLSCert, Key: c.TLSKey}
	}
	return cfg, err
}

// Run serves until SIGTERM or SIGINT. On SIGHUP it reloads; see [reloader].
func (c *serveCmd) Run(p *process) error {
	hangups, stop := hangups() // first, since a SIGHUP before it ends the process
	defer stop()
	defer surviveClosedPipes()()
	cfg, err := c.settings(p)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(logLevel(cfg.Log.Level))
	log := newLogger(p.stderr, level, cfg.Log.Format)
	// Checks precede startable, which creates the key file of a new installation.
	file, _ := c.file(p)
	if err := checkSecretFiles(cfg.SecretFiles(file), c.Strict, log); err != nil {
		return err
	}
	if err := p.valid(cfg); err != nil {
		return err
	}
	checks := checkOptions(p, cfg, file)
	if err := refuse(check.BeforeStart(p.ctx, checks), log); err != nil {
		return err
	}
	key, err := p.startable(cfg, c.Init, log)
	if err != nil {
		return err
	}
	if err := refuse(check.OnDatabase(p.ctx, checks), log); err != nil {
		return err
	}
	noCores(log)
	origin := thisBuild()
	s, err := server.New(p.ctx, server.Options{
		Config: cfg, Key: key, ReadKey: func() (vault.Key, error) { return vault.LoadKey(cfg.KeyFile) },
		Log: log, Clock: p.steady(log, cfg.Clock.MaxSkew), DrainFor: drainFor,
		Version: origin.Version, Commit: origin.Commit,
	})
	if err != nil {
		return err
	}
	if err := started(cfg.KeyFile); err != nil {
		return cmp.Or(err, s.Close())
	}
	log.Info("serving", "url", s.URL(), "ops_url", s.OpsURL(), "admin_url", s.AdminURL(), "version", origin.Version)
	defer log.Info("stopped")
	r := &reloader{running: cfg, level: level, server: s, log: log, load: func() (config.Config, error) {
		next, err := c.settings(p)
		if err != nil {
			return next, err
		}
		return next, p.valid(next)
	}}
	defer r.follow(p.ctx, hangups)()
	return s.Serve(p.ctx)
}

// logLevel returns the level of a name, and info for an invalid name, which
// [config.Config.Validate] reports.
func logLevel(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}

func newLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
