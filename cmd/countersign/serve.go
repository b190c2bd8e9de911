package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/store"
)

type serveCmd struct {
	configFlag
	TLSCert string `help:"Certificate file (PEM) for https; overrides tls.cert." type:"path" placeholder:"FILE"`
	TLSKey  string `help:"Key file (PEM) for https; overrides tls.key." type:"path" placeholder:"FILE"`
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
	_, key, err := unlock(p.ctx, cfg)
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, cfg.Log.Level, cfg.Log.Format)
	noCores(log)
	s, err := server.New(p.ctx, server.Options{
		Config: cfg, Key: key, ReadKey: func() (store.Key, error) { return store.LoadKey(cfg.KeyFile) },
		Log: log, Clock: p.clock, DrainFor: drainFor,
	})
	if err != nil {
		return err
	}
	log.Info("serving", "url", s.URL(), "ops_url", s.OpsURL(), "admin_url", s.AdminURL(), "version", version())
	defer log.Info("stopped")
	return s.Serve(p.ctx)
}

// unlock checks a configuration and gives the database that it names, with its key.
func unlock(ctx context.Context, cfg config.Config) (database string, key store.Key, err error) {
	if err := cfg.Validate(); err != nil {
		return "", key, fmt.Errorf("configuration:\n%w", err)
	}
	if database, err = cfg.StoreDatabase(); err != nil {
		return "", key, fmt.Errorf("database: %w", err)
	}
	key, err = loadKey(ctx, database, cfg.KeyFile)
	return database, key, err
}

// loadKey reads the key file. It makes one only where there is no database yet:
// a new key for an old database would open nothing in it.
func loadKey(ctx context.Context, database, file string) (store.Key, error) {
	dirs := []string{filepath.Dir(file)}
	if !store.IsPostgres(database) {
		dirs = append(dirs, filepath.Dir(database))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return store.Key{}, fmt.Errorf("make data directory: %w", err)
		}
	}
	key, err := store.LoadKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	there, lookErr := store.Exists(ctx, database)
	if lookErr != nil {
		return key, lookErr
	}
	if there {
		return key, fmt.Errorf("database %s is there, but not its key: %w", store.Redact(database), err)
	}
	key = store.NewKey()
	return key, key.Save(file)
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
