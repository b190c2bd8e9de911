package main

import (
	"log/slog"
	"syscall"
)

// noCores disables core dumps, which would contain PINs and keys.
func noCores(log *slog.Logger) {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		log.Warn("cannot disable core dumps", "error", err)
	}
}
