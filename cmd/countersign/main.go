// Command countersign is a self-hosted phone-verification server that speaks the
// Verify API. "countersign --help" lists its commands.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/emiago/sipgo/sip"
)

func main() {
	// It writes what it is told over TCP past the loggers that it is given.
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	// A request with credentials for several realms may be longer than the 1,300 bytes
	// up to which sipgo sends over UDP. It leaves in fragments, as trunks without TCP
	// expect; otherwise the call would fail.
	sip.UDPMTUSize = 16 << 10
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
