// Command countersign is a self-hosted phone-verification server with the Verify API.
// "countersign --help" lists its commands.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/emiago/sipgo/sip"
	"golang.org/x/sys/unix"
)

func main() {
	// sipgo logs TCP messages to its default logger, even if it is given another.
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	// A request with credentials for several realms can exceed the 1,300 bytes up to
	// which sipgo sends over UDP. With this limit it is sent in fragments, as trunks
	// without TCP expect; otherwise the call would fail.
	sip.UDPMTUSize = 16 << 10
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process immediately
	p := newProcess(ctx, os.Environ(), os.Stdout, os.Stderr)
	if isTerminal(os.Stdin) {
		p.terminal = os.Stdin
	}
	code := p.run(os.Args[1:])
	stop()
	os.Exit(code)
}

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
