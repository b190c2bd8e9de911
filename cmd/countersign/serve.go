package main

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/store"
)

type serveCmd struct {
	configFlag
	TLSCert string `help:"Certificate file (PEM) for https; overrides tls.cert." type:"path" placeholder:"FILE"`
	TLSKey  string `help:"Key file (PEM) for https; overrides tls.key." type:"path" placeholder:"FILE"`
	Init    bool   `help:"Create a new installation with an existing key file. Refuse a database that is an installation already."`
	Strict  bool   `help:"Refuse to start if other users can read a key, token or password file."`
}

// drainFor is how long a server that stops goes on to say so (503), for load
// balancers and clients with open connections to go elsewhere.
const drainFor = time.Second

// Run serves until the process is told to stop.
func (c *serveCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		cfg.TLS = config.TLS{Cert: c.TLSCert, Key: c.TLSKey}
	}
	log := newLogger(p.stderr, cfg.Log.Level, cfg.Log.Format)
	// A refusal must precede startable, which creates the key file of a new installation.
	if err := checkSecretFiles(cfg.SecretFiles(c.Config), c.Strict, log); err != nil {
		return err
	}
	key, err := startable(p.ctx, cfg, c.Init, log)
	if err != nil {
		return err
	}
	noCores(log)
	s, err := server.New(p.ctx, server.Options{
		Config: cfg, Key: key, ReadKey: func() (store.Key, error) { return store.LoadKey(cfg.KeyFile) },
		Log: log, Clock: p.steady(log, cfg.Clock.MaxSkew), DrainFor: drainFor,
	})
	if err != nil {
		return err
	}
	if err := started(cfg.KeyFile); err != nil {
		return errors.Join(err, s.Close())
	}
	log.Info("serving", "url", s.URL(), "ops_url", s.OpsURL(), "admin_url", s.AdminURL(), "version", version())
	defer log.Info("stopped")
	return s.Serve(p.ctx)
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // the configuration was validated
	}
	opts := &slog.HandlerOptions{Level: l}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
