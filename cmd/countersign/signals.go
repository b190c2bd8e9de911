package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// hangups returns a channel that receives each SIGHUP until stop is called.
func hangups() (c <-chan os.Signal, stop func()) {
	caught := make(chan os.Signal, 1) // one reload covers all earlier signals
	signal.Notify(caught, syscall.SIGHUP)
	return caught, func() { signal.Stop(caught) }
}

// endOnHangup ends the command on SIGHUP, as on SIGTERM: its terminal was closed. Under
// nohup, which ignores the signal, it has no effect. The caller must call stop.
func (p *process) endOnHangup() (stop func()) {
	if signal.Ignored(syscall.SIGHUP) {
		return func() {}
	}
	p.ctx, stop = signal.NotifyContext(p.ctx, syscall.SIGHUP)
	context.AfterFunc(p.ctx, stop) // a second signal ends the process immediately
	return stop
}

// surviveClosedPipes makes a write to a closed pipe at standard output or error fail. By
// default SIGPIPE ends the process; the reader of a log must not end the server. Child
// processes do not inherit a handler, unlike an ignored signal.
func surviveClosedPipes() (stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGPIPE)
	return func() { signal.Stop(caught) }
}
