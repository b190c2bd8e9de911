package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"

	"countersign/internal/config"
	"countersign/internal/server"
)

// reloader applies configuration changes to a running server: the log level and the
// certificates. Other settings require a restart.
type reloader struct {
	load    func() (config.Config, error) // reads and validates the configuration
	running config.Config                 // settings in force
	level   *slog.LevelVar
	server  *server.Server
	log     *slog.Logger
}

// follow reloads on each signal until ctx is done or stop is called. stop waits for a
// reload in progress, but not for the file system: the configuration may be on an
// unresponsive network share.
func (r *reloader) follow(ctx context.Context, signals <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-signals:
				select {
				case next := <-r.read():
					r.reload(next.config, next.err)
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// loaded is the result of reading the configuration.
type loaded struct {
	config config.Config
	err    error
}

// read starts loading the configuration. The channel receives the result.
func (r *reloader) read() <-chan loaded {
	done := make(chan loaded, 1) // the receiver may have stopped
	go func() {
		next, err := r.load()
		done <- loaded{next, err}
	}()
	return done
}

// reload applies the log level and the certificates of a loaded configuration. It logs
// the applied settings and the changed settings that require a restart. After an error
// the previous configuration stays in force.
func (r *reloader) reload(next config.Config, err error) {
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
	r.level.Set(min(level, r.level.Level())) // log a change to error at the old level
	if len(restart) > 0 {
		r.log.Warn("configuration reloaded; some changed settings need a restart", "reloaded", reloaded, "restart_needed", restart)
	} else {
		r.log.Info("configuration reloaded", "reloaded", reloaded)
	}
	r.level.Set(level)
	r.running.Log.Level = next.Log.Level
}

// reloadable reports whether a changed setting takes effect without a restart. A listener
// switches between plain HTTP and TLS only at start.
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
