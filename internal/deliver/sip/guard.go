package sip

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/deliver"
)

// deniedPrefixes are numbers that cost more than a call: satellite phones and
// networks of no country (ITU-T E.164 Annex: 870, 878, 881 to 883, 888), premium
// rate and shared cost (979, 808), and the countries of the North American plan
// where fraud by expensive calls is an old trade. They are called only when their
// country is allowed by name, or their prefix by Config.Allow.
//
//nolint:gochecknoglobals // a table
var deniedPrefixes = []string{
	"808", "870", "878", "881", "882", "883", "888", "979", // of no country
	"1900", "1976", // premium rate
	"1242", "1246", "1264", "1268", "1284", "1345", "1441", "1473", "1649", "1664", "1721",
	"1758", "1767", "1784", "1809", "1829", "1849", "1868", "1869", "1876", "1658",
}

// errDenied says that a destination is not called.
var errDenied = errors.New("destination is not allowed on this trunk")

// permits reports whether a number may be called.
func (c *Config) permits(m deliver.Message) error {
	if m.To == "" || strings.Trim(m.To, "0123456789") != "" {
		return fmt.Errorf("%w: the number is not digits", errDenied)
	}
	if len(c.Countries) > 0 {
		if !slices.Contains(c.Countries, m.Country) {
			return errDenied
		}
		return nil
	}
	if slices.ContainsFunc(deniedPrefixes, func(p string) bool { return strings.HasPrefix(m.To, p) }) {
		return errDenied
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
