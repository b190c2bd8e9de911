package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

// FailedLoginsConfig configures [FailedLogins].
type FailedLoginsConfig struct {
	// PerMinute is the number of failures per minute and source without a delay; 0 means
	// unlimited.
	PerMinute int
	// Delay is the delay of each further response to that source.
	Delay   time.Duration
	Proxies Proxies
	Drain   *Drain
	Clock   clockwork.Clock
	Metrics prometheus.Registerer
}

// FailedLogins delays the responses to a source with many failed logins. It applies after
// a login has failed, so valid credentials are never delayed, from any source, and
// guessing a key does not lock out its owner.
//
// Response times do not reveal the reason of a failure: they are rounded up to a
// multiple of responseQuantum.
//
// The number of delayed responses is limited, in all and for each source. A response over
// the limit is not delayed, but closes its connection.
type FailedLogins struct {
	cfg      FailedLoginsConfig
	failures *prometheus.CounterVec

	mu      sync.Mutex
	began   time.Time            // start of the current minute
	now     map[netip.Prefix]int // failures in the current minute, by source
	before  map[netip.Prefix]int // failures in the previous minute, by source
	waiting map[netip.Prefix]int
	holding int
}

const (
	// maxSources limits the sources with their own counter in a minute. All further
	// sources share one counter.
	maxSources = 10_000
	// maxHeld limits the delayed responses, and maxHeldPerSource those to one source.
	maxHeld          = 256
	maxHeldPerSource = 8
	// responseQuantum rounds the response times of failed logins. It exceeds the duration
	// of nearly every database query.
	responseQuantum = 10 * time.Millisecond
)

// NewFailedLogins returns FailedLogins without failures, and registers its metric.
func NewFailedLogins(cfg FailedLoginsConfig) *FailedLogins {
	s := &FailedLogins{
		cfg: cfg,
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "countersign_failed_logins_total",
			Help: "Requests with bad credentials, by response: at_once, delayed, or closed (not delayed, connection closed).",
		}, []string{"answer"}),
		began: cfg.Clock.Now(), now: map[netip.Prefix]int{}, waiting: map[netip.Prefix]int{},
	}
	for _, answer := range []string{"at_once", "delayed", "closed"} {
		s.failures.WithLabelValues(answer)
	}
	cfg.Metrics.MustRegister(s.failures)
	return s
}

// Delay counts a failed login and blocks until its response may be written: after the
// rounding, and after the configured delay if the source is over its limit. Delay returns
// early if the client disconnects or the server drains. came is the arrival of the
// request. Over the limit of delayed responses, Delay sets the header that closes the
// connection.
func (s *FailedLogins) Delay(w http.ResponseWriter, r *http.Request, came time.Time) {
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
	if past := s.cfg.Clock.Since(came) % responseQuantum; past > 0 {
		s.sleep(r, responseQuantum-past)
	}
}

func (s *FailedLogins) sleep(r *http.Request, d time.Duration) {
	timer := s.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-r.Context().Done():
	case <-s.cfg.Drain.Begun():
	}
}

// fail counts a failure. If wait is true, the caller has acquired a slot for a delayed
// response and must release it.
func (s *FailedLogins) fail(source netip.Prefix) (wait, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch age := s.cfg.Clock.Since(s.began); {
	case age >= 2*time.Minute || age < 0: // also after the clock was set back
		s.began, s.now, s.before = s.cfg.Clock.Now(), map[netip.Prefix]int{}, nil
	case age >= time.Minute:
		s.began, s.now, s.before = s.began.Add(time.Minute), map[netip.Prefix]int{}, s.now
	}
	counted := source
	if _, known := s.now[counted]; !known && len(s.now) >= maxSources {
		counted = netip.Prefix{} // the shared counter
	}
	s.now[counted]++
	// The previous minute counts in proportion to its part within the last 60 s.
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

func (s *FailedLogins) release(source netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding--
	if s.waiting[source]--; s.waiting[source] == 0 {
		delete(s.waiting, source)
	}
}
