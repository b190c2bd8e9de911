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

// AuthConfig configures an [Authenticator].
type AuthConfig struct {
	// TokenFile is the path of the token file; "" for certificates only. Certificates
	// count if the listener has verified them.
	TokenFile string
	Clock     clockwork.Clock
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Authenticator passes requests with a known token or certificate to the API.
type Authenticator struct {
	next    *Handler
	cfg     AuthConfig
	tokens  *tokens
	failed  failures
	refused *prometheus.CounterVec
}

// NewAuthenticator returns an Authenticator for h. It creates a missing token file, and
// returns an error if the file cannot be read.
func NewAuthenticator(h *Handler, cfg AuthConfig) (*Authenticator, error) {
	a := &Authenticator{next: h, cfg: cfg, failed: failures{clock: cfg.Clock, of: map[string]*failing{}}}
	if cfg.TokenFile != "" {
		a.tokens = &tokens{path: cfg.TokenFile}
		if err := CreateTokens(cfg.TokenFile); err != nil {
			return nil, err
		}
		if _, err := a.tokens.load(); err != nil {
			return nil, err
		}
	}
	a.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_admin_requests_refused_total", Help: "Requests to the admin API without a known token, by HTTP status.",
	}, []string{"code"})
	for _, code := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		a.refused.WithLabelValues(strconv.Itoa(code))
	}
	cfg.Metrics.MustRegister(a.refused)
	return a, nil
}

// ServeHTTP passes an authenticated request to the API, with its identity in the context.
func (a *Authenticator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Browsers send client certificates with requests of any page.
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		writeProblem(w, &web.Problem{Status: http.StatusForbidden, Detail: "cross-site requests are refused"})
		return
	}
	source := sourceOf(r)
	who, ok, err := a.identify(r)
	if err != nil {
		// The previous list could contain a removed token.
		a.cfg.Log.Error("admin API rejects all tokens: token file is unreadable or invalid", "error", err)
		writeProblem(w, &web.Problem{Status: http.StatusServiceUnavailable, Detail: "the token file is unreadable or invalid; see the server's log"})
		return
	}
	if !ok {
		a.refuse(w, r, source)
		return
	}
	web.Authenticated(r.Context())
	who.source = source
	inner := r.WithContext(context.WithValue(r.Context(), identityKey{}, who))
	defer func() { r.Pattern = inner.Pattern }() // for the access log, also after a panic
	a.next.ServeHTTP(w, inner)
}

// identify returns the identity of a request. A wrong token is refused even with a valid
// certificate.
func (a *Authenticator) identify(r *http.Request) (identity, bool, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, shown, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || a.tokens == nil {
			return identity{}, false, nil
		}
		t, ok, err := a.tokens.find(strings.TrimSpace(shown))
		return identity{name: t.name, readOnly: t.readOnly}, ok, err
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return identity{}, false, nil
	}
	subject := r.TLS.VerifiedChains[0][0].Subject
	who := identity{name: "cert:" + printable(subject.CommonName), readOnly: slices.Contains(subject.OrganizationalUnit, "read-only")}
	return who, subject.CommonName != "", nil
}

// refuse responds to a request without a known token: 401, or 429 after too many from one
// address. Requests with a known token are not affected.
func (a *Authenticator) refuse(w http.ResponseWriter, r *http.Request, source string) {
	p := unauthorized()
	if len(strings.Fields(r.Header.Get("Authorization"))) == 3 { // Bearer and a whole line of a token file
		p.Detail = "send the token without its name: Authorization: Bearer TOKEN"
	}
	if wait := a.failed.count(source); wait > 0 {
		p = &web.Problem{Status: http.StatusTooManyRequests, Detail: "too many requests without a known token"}
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	} else {
		a.cfg.Log.Warn("admin API refused a request without a known token", "source", source)
	}
	a.refused.WithLabelValues(strconv.Itoa(p.Status)).Inc()
	writeProblem(w, p)
}

func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// failures counts refused requests by source.
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
	mostFailures = 10 // maximum of responses with 401 in a window
	failedWindow = time.Minute
	mostSources  = 4096 // maximum number of counters
)

// count adds a failure and returns the time until the source is below its limit; 0 if it
// is below.
func (f *failures) count(source string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	s := f.of[source]
	if s == nil || now.Sub(s.since) >= failedWindow || now.Before(s.since) { // also after the clock was set back
		if len(f.of) >= mostSources {
			clear(f.of) // limits memory; all counts restart
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
