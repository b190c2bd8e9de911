package speech

import (
	"errors"

	"golang.org/x/sys/unix"
)

// limit bounds the address space of a process and of its future children, in bytes; 0
// means no bound. It returns nil if the process has already exited.
func limit(pid int, memory uint64) error {
	if memory == 0 {
		return nil
	}
	err := unix.Prlimit(pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: memory, Max: memory}, nil)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
