package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

// StrangersConfig is what Strangers work with.
type StrangersConfig struct {
	// PerMinute is how many failures a source may have in a minute before it waits;
	// 0 for any number.
	PerMinute int
	// Delay is how long it then waits for each answer.
	Delay   time.Duration
	Proxies Proxies
	Drain   *Drain
	Clock   clockwork.Clock
	Metrics prometheus.Registerer
}

// Strangers makes those wait who time and again fail to show where their requests
// come from. It is asked only once a request has failed, so whoever can show it
// never waits, wherever he is; and no account is closed to its owner because
// somebody else tries its key.
//
// No answer tells by its time why a request failed: what would differ by less than a
// microsecond is rounded up to evenly.
//
// What waits is bounded, in all and for each source, so that the waiting itself holds
// up nobody. Whoever is over that bound is answered at once, and has to connect anew.
type Strangers struct {
	cfg      StrangersConfig
	failures *prometheus.CounterVec

	mu      sync.Mutex
	began   time.Time            // of the minute that is counted now
	now     map[netip.Prefix]int // failures in it, by source
	before  map[netip.Prefix]int // and in the one before
	waiting map[netip.Prefix]int
	holding int
}

const (
	// maxSources bounds the sources that are counted by themselves in a minute. What
	// comes from more places than that is counted as if it came from one.
	maxSources = 10_000
	// maxHeld bounds the answers that wait, and maxHeldPerSource those for one source.
	maxHeld          = 256
	maxHeldPerSource = 8
	// evenly is what the time of an answer is a multiple of. It is longer than nearly
	// every look at the database takes.
	evenly = 10 * time.Millisecond
)

// NewStrangers returns Strangers that have seen nobody.
func NewStrangers(cfg StrangersConfig) *Strangers {
	s := &Strangers{
		cfg: cfg,
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_failed_logins_total",
			Help: "Requests with bad credentials, by how they were answered: at_once, delayed, or closed, with the connection.",
		}, []string{"answer"}),
		began: cfg.Clock.Now(), now: map[netip.Prefix]int{}, waiting: map[netip.Prefix]int{},
	}
	for _, answer := range []string{"at_once", "delayed", "closed"} {
		s.failures.WithLabelValues(answer)
	}
	cfg.Metrics.MustRegister(s.failures)
	return s
}

// Hold is called before a request is refused for its credentials, with the time when
// it came. It returns when the answer may be written: at once, but for the rounding,
// or after the delay, or when client or server do not want to wait any more. It sets
// the header that closes the connection of those who are over every bound.
func (s *Strangers) Hold(w http.ResponseWriter, r *http.Request, came time.Time) {
	source := s.cfg.Proxies.Source(r)
	wait, closed := s.fail(source)
	answer := "at_once"
	switch {
	case closed:
		answer = "closed"
		w.Header().Set("Connection", "close")
	case wait:
		answer = "delayed"
	}
	s.failures.WithLabelValues(answer).Inc()
	if wait {
		s.sleep(r, s.cfg.Delay)
		s.release(source)
	}
	if past := s.cfg.Clock.Since(came) % evenly; past > 0 {
		s.sleep(r, evenly-past)
	}
}

func (s *Strangers) sleep(r *http.Request, d time.Duration) {
	timer := s.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-r.Context().Done():
	case <-s.cfg.Drain.Begun():
	}
}

// fail counts a failure. With wait the caller has a place to wait in, which it must
// release.
func (s *Strangers) fail(source netip.Prefix) (wait, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch age := s.cfg.Clock.Since(s.began); {
	case age >= 2*time.Minute || age < 0: // the clock was set back
		s.began, s.now, s.before = s.cfg.Clock.Now(), map[netip.Prefix]int{}, nil
	case age >= time.Minute:
		s.began, s.now, s.before = s.began.Add(time.Minute), map[netip.Prefix]int{}, s.now
	}
	counted := source
	if _, known := s.now[counted]; !known && len(s.now) >= maxSources {
		counted = netip.Prefix{} // with the others for whom there was no room
	}
	s.now[counted]++
	// Of the minute before, the part counts that is less than a minute ago.
	left := time.Minute - s.cfg.Clock.Since(s.began)
	recent := s.now[counted] + int(int64(s.before[counted])*int64(left)/int64(time.Minute))
	if recent <= s.cfg.PerMinute || s.cfg.PerMinute == 0 {
		return false, false
	}
	if s.holding >= maxHeld || s.waiting[source] >= maxHeldPerSource {
		return false, true
	}
	s.holding++
	s.waiting[source]++
	return true, false
}

func (s *Strangers) release(source netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding--
	if s.waiting[source]--; s.waiting[source] == 0 {
		delete(s.waiting, source)
	}
}
