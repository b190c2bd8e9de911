package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"countersign/internal/config"
	"countersign/internal/server"
)

// reloader applies changes of the configuration to a running server: the log level and
// the certificates. Other settings need a restart.
type reloader struct {
	load    func() (config.Config, error)
	running config.Config // settings in force
	level   *slog.LevelVar
	server  *server.Server
	log     *slog.Logger
}

// follow reloads on each signal until ctx is done or stop is called. stop waits for a
// reload in progress.
func (r *reloader) follow(ctx context.Context, signals <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-signals:
				r.reload()
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// reload reads the configuration, applies what it can, and logs both that and the changed
// settings that need a restart. An invalid configuration changes nothing.
func (r *reloader) reload() {
	next, err := r.load()
	if err == nil {
		if err = next.Validate(); err != nil {
			err = fmt.Errorf("configuration:\n%w", err)
		}
	}
	if err != nil {
		r.log.Error("configuration not reloaded; the previous one stays in force: correct it and send SIGHUP again", "error", err)
		return
	}
	reloaded, err := r.server.ReloadCertificates(next)
	if err != nil {
		r.log.Error("certificates not reloaded; the previous ones stay in use: correct the files and send SIGHUP again", "error", err)
	}
	changed := r.running.Changes(next)
	if slices.Contains(changed, "log.level") {
		reloaded = append(reloaded, "log.level")
	}
	restart := slices.DeleteFunc(changed, func(key string) bool { return reloadable(r.running, next, key) })
	level := logLevel(next.Log.Level)
	r.level.Set(min(level, r.level.Level())) // so that a change to error is logged
	if len(restart) > 0 {
		r.log.Warn("configuration reloaded; some changed settings need a restart", "reloaded", reloaded, "restart_needed", restart)
	} else {
		r.log.Info("configuration reloaded", "reloaded", reloaded)
	}
	r.level.Set(level)
	r.running.Log.Level = next.Log.Level
}

// reloadable reports whether a changed setting takes effect without a restart. A listener
// changes between plain HTTP and TLS only at a start.
func reloadable(running, next config.Config, key string) bool {
	switch key {
	case "log.level":
		return true
	case "tls.cert", "tls.key":
		return running.TLS.Cert != "" && next.TLS.Cert != ""
	case "admin.tls.cert", "admin.tls.key", "admin.tls.client_ca":
		return running.Admin.TLS.Cert != "" && next.Admin.TLS.Cert != ""
	}
	return false
}
