package main

import (
	"log/slog"
	"syscall"
)

// noCores keeps the system from writing the memory of a process that crashes to a
// file: PINs and keys are in it.
func noCores(log *slog.Logger) {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		log.Warn("core dumps stay allowed", "error", err)
	}
}
