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

// errDenied says that a destination is not called.
var errDenied = errors.New("destination is not allowed on this trunk")

// permits reports whether a number may be called: its country must be allowed, and
// it must cost what a call costs. Satellite phones and premium rates are called
// only when their first digits are allowed by name: who asks for a call to them
// may be the one who is paid for it.
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

// limiter bounds the calls of a trunk: at a time, and begun in a second.
type limiter struct {
	slots    chan struct{} // a token for each call
	interval time.Duration // between two; 0 for none

	mu   sync.Mutex
	next time.Time
}

// patience is how long a call waits for its turn, before another trunk may have
// it.
const patience = time.Second

// enter takes a place. pause is how long to wait before dialling.
func (l *limiter) enter(now time.Time) (pause time.Duration, err error) {
	select {
	case l.slots <- struct{}{}:
	default:
		return 0, fmt.Errorf("%w: %d calls are under way", deliver.ErrNotSent, cap(l.slots))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	turn := l.next
	if turn.Before(now) {
		turn = now
	}
	if turn.Sub(now) > patience {
		l.leave()
		return 0, fmt.Errorf("%w: too many calls a second", deliver.ErrNotSent)
	}
	l.next = turn.Add(l.interval)
	return turn.Sub(now), nil
}

func (l *limiter) leave() { <-l.slots }

// PrefixLimit bounds the calls at a time to numbers with the same first digits, over
// all trunks that share it: whoever is paid for calls to his numbers has them in a
// row. Make one with NewPrefixLimit; nil is no bound.
type PrefixLimit struct {
	most, digits int

	mu    sync.Mutex
	calls map[string]int // by prefix
}

// NewPrefixLimit lets so many calls be under way to numbers with the same first
// digits.
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
		return fmt.Errorf("%w: %d calls to this prefix", deliver.ErrTooManyThere, l.most)
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
