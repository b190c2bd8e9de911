package deliver

import (
	"slices"
	"sync"
	"time"
)

// CarrierStatus is how a carrier is, for its operator.
type CarrierStatus struct {
	Name      string        `json:"name"`
	Type      string        `json:"type"`
	Down      bool          `json:"marked_down"` // asked last, since it failed too often
	Binds     []BindStatus  `json:"binds,omitempty"`
	InFlight  int           `json:"in_flight"`  // messages without an answer
	Window    int           `json:"window"`     // most of them at a time; 0 for no bound
	Rate      float64       `json:"rate"`       // messages a second that it may send now; 0 for no limit
	RateLimit float64       `json:"rate_limit"` // that is configured; 0 for none
	Errors    []LoggedError `json:"errors"`     // the last ones, newest first
}

// BindStatus is one connection of a carrier.
type BindStatus struct {
	Kind  string    `json:"kind"`
	Up    bool      `json:"up"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // why it is not up

	ReceiveOnly bool `json:"-"` // no message leaves over it
}

// Up counts the binds that are up.
func (s CarrierStatus) Up() int {
	n := 0
	for _, b := range s.Binds {
		if b.Up {
			n++
		}
	}
	return n
}

// LoggedError is an error and when it happened.
type LoggedError struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
	Times int       `json:"times"` // in a row
}

// ErrorLog keeps the last errors. Its zero value is empty; its methods may be
// called from many goroutines.
type ErrorLog struct {
	mu   sync.Mutex
	last []LoggedError // oldest first
}

const maxLoggedErrors = 10

// Add keeps an error. One that repeats the last is counted with it.
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

// List gives the errors, newest first.
func (l *ErrorLog) List() []LoggedError {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.last)
	slices.Reverse(list)
	return list
}
