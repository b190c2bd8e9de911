package web

import (
	"time"

	"github.com/jonboulle/clockwork"
)

// minutely limits a log line to one per minute. Callers must hold a lock.
type minutely struct {
	clock clockwork.Clock
	last  time.Time
}

func newMinutely(clock clockwork.Clock) *minutely { return &minutely{clock: clock} }

// due reports whether a minute has passed since it last returned true.
func (m *minutely) due() bool {
	now := m.clock.Now()
	if ago := now.Sub(m.last); ago >= 0 && ago < time.Minute {
		return false
	}
	m.last = now
	return true
}
