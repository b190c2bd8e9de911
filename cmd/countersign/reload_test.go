package main

import (
	"errors"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"testing/synctest"

	"countersign/internal/config"
)

// TestStopDuringReload stops while reading the configuration blocks: a named pipe stands
// for an unresponsive network share.
func TestStopDuringReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reading, release := make(chan struct{}), make(chan struct{})
		r := &reloader{log: slog.New(slog.DiscardHandler), load: func() (config.Config, error) {
			close(reading)
			<-release
			return config.Config{}, errors.New("too late")
		}}
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGHUP
		stop := r.follow(t.Context(), signals)
		<-reading
		stop() // must not wait for the file
		close(release)
	})
}
