package sip

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/phone"
)

// errDenied means that the configuration does not permit calls to a destination.
var errDenied = errors.New("destination is not allowed on this trunk")

// permits returns an error wrapping errDenied if a number may not be called. Its
// country must be allowed, and it must not be expensive: premium rate, shared cost or
// satellite. Owners of such numbers may request calls for profit (toll fraud). A prefix
// in AllowPrefixes overrides both conditions.
func (c *Config) permits(m deliver.Message) error {
	if m.To.Given == "" || strings.Trim(m.To.Given, "0123456789") != "" {
		return fmt.Errorf("%w: the number is not digits", errDenied)
	}
	allowed := func(prefix string) bool { return strings.HasPrefix(m.To.Given, prefix) }
	switch {
	case slices.ContainsFunc(c.AllowPrefixes, allowed):
		return nil
	case len(c.Countries) > 0 && !slices.Contains(c.Countries, m.To.Country):
		return fmt.Errorf("%w: country %q", errDenied, m.To.Country)
	case phone.Expensive(m.To.Given):
		return fmt.Errorf("%w: premium rate, shared cost or satellite", errDenied)
	}
	return nil
}

// limiter bounds the concurrent calls of a trunk and their rate.
type limiter struct {
	slots    chan struct{} // semaphore; holds a value for each call
	interval time.Duration // minimum time between the starts of two calls; 0 for no limit

	mu   sync.Mutex
	next time.Time // earliest start of the next call
}

// patience is the maximum wait of a call for its start; a longer wait is refused, so
// that another trunk can be tried.
const patience = time.Second

// enter acquires a slot. The caller must wait for pause before it dials.
func (l *limiter) enter(now time.Time) (pause time.Duration, err error) {
	select {
	case l.slots <- struct{}{}:
	default:
		return 0, fmt.Errorf("%w: all %d calls of max_calls are in use", deliver.ErrNotSent, cap(l.slots))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	turn := l.next
	if turn.Before(now) {
		turn = now
	}
	if turn.Sub(now) > patience {
		l.leave()
		return 0, fmt.Errorf("%w: calls_per_second is exceeded", deliver.ErrNotSent)
	}
	l.next = turn.Add(l.interval)
	return turn.Sub(now), nil
}

func (l *limiter) leave() { <-l.slots }

// PrefixLimit bounds the concurrent calls to numbers with the same prefix, over all
// trunks that share it. It limits toll fraud, since the numbers of a fraudster are
// usually consecutive. Create one with NewPrefixLimit; nil means no limit.
type PrefixLimit struct {
	most, digits int

	mu    sync.Mutex
	calls map[string]int // current calls by prefix
}

// NewPrefixLimit returns a limit of most concurrent calls for each prefix of the given
// number of digits.
func NewPrefixLimit(most, digits int) *PrefixLimit {
	return &PrefixLimit{most: most, digits: digits, calls: map[string]int{}}
}

func (l *PrefixLimit) enter(number string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	prefix := number[:min(len(number), l.digits)]
	if l.calls[prefix] >= l.most {
		return fmt.Errorf("%w: limit of %d calls to this prefix is reached", deliver.ErrTooManyThere, l.most)
	}
	l.calls[prefix]++
	return nil
}

func (l *PrefixLimit) leave(number string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	prefix := number[:min(len(number), l.digits)]
	if l.calls[prefix]--; l.calls[prefix] == 0 {
		delete(l.calls, prefix)
	}
}
