package adminapi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// GuardConfig says who is let in.
type GuardConfig struct {
	// TokenFile is the path of the tokens; "" for certificates only. A certificate is
	// one that the listener has verified.
	TokenFile string
	Clock     clockwork.Clock
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Guard lets requests pass to the API that show a token or a certificate.
type Guard struct {
	next    *Handler
	cfg     GuardConfig
	tokens  *tokens
	failed  failures
	refused *prometheus.CounterVec
}

// NewGuard returns a guard before h. It makes the token file where there is none.
func NewGuard(h *Handler, cfg GuardConfig) (*Guard, error) {
	g := &Guard{next: h, cfg: cfg, failed: failures{clock: cfg.Clock, of: map[string]*failing{}}}
	if cfg.TokenFile != "" {
		g.tokens = &tokens{path: cfg.TokenFile}
		if err := CreateTokens(cfg.TokenFile); err != nil {
			return nil, err
		}
		if _, err := g.tokens.load(); err != nil {
			return nil, err
		}
	}
	g.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_admin_requests_refused_total", Help: "Requests to the admin API without a known token, by HTTP status.",
	}, []string{"code"})
	for _, code := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		g.refused.WithLabelValues(strconv.Itoa(code))
	}
	cfg.Metrics.MustRegister(g.refused)
	return g, nil
}

// ServeHTTP passes a request on, with who makes it.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A browser shows a certificate by itself, whichever page makes the request.
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		writeProblem(w, &Problem{Status: http.StatusForbidden, Detail: "no request of another site's page is served"})
		return
	}
	source := sourceOf(r)
	who, ok, err := g.identify(r)
	if err != nil {
		// The list that was good before would let in whose line has just been taken out.
		g.cfg.Log.Error("admin API lets nobody in", "error", err)
		writeProblem(w, &Problem{Status: http.StatusServiceUnavailable, Detail: "the token file cannot be read; the server's log tells more"})
		return
	}
	if !ok {
		g.refuse(w, r, source)
		return
	}
	web.Authenticated(r.Context())
	who.source = source
	inner := r.WithContext(context.WithValue(r.Context(), identityKey{}, who))
	defer func() { r.Pattern = inner.Pattern }() // for the access log, also after a panic
	g.next.ServeHTTP(w, inner)
}

// identify finds out who makes a request. A token that is shown counts, and a wrong
// one is not made good by a certificate.
func (g *Guard) identify(r *http.Request) (identity, bool, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, shown, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || g.tokens == nil {
			return identity{}, false, nil
		}
		t, ok, err := g.tokens.find(strings.TrimSpace(shown))
		return identity{name: t.name, readOnly: t.readOnly}, ok, err
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return identity{}, false, nil
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	who := identity{name: "cert:" + printable(subject.CommonName), readOnly: slices.Contains(subject.OrganizationalUnit, "read-only")}
	return who, subject.CommonName != "", nil
}

// refuse answers a request without a known token: 401, and 429 after too many from one
// address. It has no effect on requests with a known token from there.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, source string) {
	p := unauthorized()
	if len(strings.Fields(r.Header.Get("Authorization"))) == 3 { // Bearer, and a line of a token file
		p.Detail = "give the token alone, without the name before it: Authorization: Bearer TOKEN"
	}
	if wait := g.failed.count(source); wait > 0 {
		p = &Problem{Status: http.StatusTooManyRequests, Detail: "too many requests without a known token"}
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	} else {
		g.cfg.Log.Warn("admin API refused a request without a known token", "source", source)
	}
	g.refused.WithLabelValues(strconv.Itoa(p.Status)).Inc()
	writeProblem(w, p)
}

func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// failures counts by source who was not let in.
type failures struct {
	clock clockwork.Clock

	mu sync.Mutex
	of map[string]*failing
}

type failing struct {
	since time.Time
	times int
}

const (
	mostFailures = 10 // in a window, that are answered as if they were a slip
	failedWindow = time.Minute
	mostSources  = 4096 // that are remembered
)

// count adds a failure, and tells for how long a source has had too many.
func (f *failures) count(source string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	s := f.of[source]
	if s == nil || now.Sub(s.since) >= failedWindow || now.Before(s.since) { // the clock was set back
		if len(f.of) >= mostSources {
			clear(f.of) // somebody has many addresses; counting goes on
		}
		s = &failing{since: now}
		f.of[source] = s
	}
	s.times++
	if s.times <= mostFailures {
		return 0
	}
	return failedWindow - now.Sub(s.since)
}
