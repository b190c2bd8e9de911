package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed returns the time since the machine was booted, including suspended time: a laptop
// or virtual machine that resumes has made no step.
func elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("clock: CLOCK_BOOTTIME: " + err.Error()) // since Linux 2.6.39; Go needs 3.2
	}
	return time.Duration(t.Nano())
}
