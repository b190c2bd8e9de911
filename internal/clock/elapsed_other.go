//go:build !linux

package clock

import "time"

// started carries a monotonic reading.
var started = time.Now()

// elapsed returns the time since the process started. Where Go's monotonic clock stops
// while the machine is suspended, resuming looks like a step.
func elapsed() time.Duration { return time.Since(started) }
