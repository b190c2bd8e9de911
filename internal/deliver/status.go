package deliver

import (
	"slices"
	"sync"
	"time"
)

// CarrierStatus is the status of a carrier, for the operator.
type CarrierStatus struct {
	Name      string        `json:"name"`
	Type      string        `json:"type"`
	Down      bool          `json:"marked_down"` // tried last because of its failures
	Binds     []BindStatus  `json:"binds,omitempty"`
	InFlight  int           `json:"in_flight"`  // messages without a response
	Window    int           `json:"window"`     // maximum of InFlight; 0 for no limit
	Rate      float64       `json:"rate"`       // current rate in messages per second; 0 for no limit
	RateLimit float64       `json:"rate_limit"` // configured rate in messages per second; 0 for no limit
	Errors    []LoggedError `json:"errors"`     // last errors, newest first
}

// BindStatus is one connection of a carrier.
type BindStatus struct {
	Kind  string    `json:"kind"`
	Up    bool      `json:"up"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // reason for being down

	ReceiveOnly bool `json:"-"` // the connection does not submit messages
}

// Up returns the number of binds that are up.
func (s CarrierStatus) Up() int {
	n := 0
	for _, b := range s.Binds {
		if b.Up {
			n++
		}
	}
	return n
}

// LoggedError is an error with its time.
type LoggedError struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
	Times int       `json:"times"` // consecutive repetitions
}

// ErrorLog keeps the last 10 errors. The zero value is ready to use. It is safe for
// concurrent use.
type ErrorLog struct {
	mu   sync.Mutex
	last []LoggedError // oldest first
}

const maxLoggedErrors = 10

// Add records an error. If its text equals the last one, that is counted instead.
func (l *ErrorLog) Add(now time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := LoggedError{At: now.UTC().Truncate(time.Millisecond), Error: err.Error(), Times: 1}
	if n := len(l.last); n > 0 && l.last[n-1].Error == e.Error {
		e.Times += l.last[n-1].Times
		l.last = l.last[:n-1]
	}
	l.last = append(l.last, e)
	if len(l.last) > maxLoggedErrors {
		l.last = slices.Delete(l.last, 0, 1)
	}
}

// List returns the errors, newest first.
func (l *ErrorLog) List() []LoggedError {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.last)
	slices.Reverse(list)
	return list
}
