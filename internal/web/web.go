// Package web provides the common parts of all APIs and HTTP listeners of Countersign. It
// contains the table of endpoints and its exchanges, problems (RFC 9457), the server and
// its time limits, and the access log. It determines the client's address, delays failed
// logins, and implements draining and readiness.
//
// The package contains no texts of an API and no code about verifications.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
)

// Access is the middleware of a listener.
type Access struct {
	Log     *slog.Logger
	Clock   clockwork.Clock
	Proxies Proxies
	Metrics prometheus.Registerer

	NotFound http.Handler // serves refused paths
}

// Wrap adds the access log, the metrics and the repair of doubled slashes to a listener's
// handler. The log contains the route instead of path and query: a GET request contains
// the account's secret, even in the path by mistake.
func (a Access) Wrap(next http.Handler) http.Handler {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "countersign_http_request_duration_seconds",
		Help:    "Response time of HTTP requests, by method, route (a path with parameters in braces, or none) and status class.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
	}, []string{"method", "route", "code"})
	if err := a.Metrics.Register(duration); err != nil {
		other, ok := errors.AsType[prometheus.AlreadyRegisteredError](err)
		if !ok {
			panic(err) // invalid metric
		}
		duration = other.ExistingCollector.(*prometheus.HistogramVec) // registered by another listener
	}
	served := recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hasDots(r.URL) {
			a.NotFound.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), a.Log, RefuseText)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := a.Clock.Now()
		mergeSlashes(r.URL)
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		defer func() { // also after a panic, for a response that ends with its connection
			took := a.Clock.Since(begin)
			duration.WithLabelValues(methodName(r.Method), routeOf(r.Pattern), statusClass(rec.code)).Observe(took.Seconds())
			a.log(rec, r, took)
		}()
		served.ServeHTTP(rec, r)
	})
}

// log writes the line of a request. LogAttrs avoids the boxing of values by Info, since
// every request writes this line.
func (a Access) log(rec *recorder, r *http.Request, took time.Duration) {
	attrs := append(make([]slog.Attr, 0, 6+maxNotes), slog.String("method", methodName(r.Method)),
		slog.String("route", routeOf(r.Pattern)), slog.Int("code", rec.code), slog.Int64("bytes", rec.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("client", a.Proxies.Client(r)))
	a.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", append(attrs, rec.notes[:rec.noted]...)...)
}

// maxNotes limits the attributes that a handler adds to the line of its request.
const maxNotes = 3

// Note adds an attribute to the access log line of the request of w, unless value is empty. The
// value must not be a secret or a complete number. More than three have no effect.
func Note(w http.ResponseWriter, name, value string) {
	if rec := recorderOf(w); value != "" && rec != nil && rec.noted < maxNotes {
		rec.notes[rec.noted] = slog.String(name, value)
		rec.noted++
	}
}

// routeOf returns the path of a mux pattern without its method; "none" for a path that is
// not served, with an empty or catch-all pattern.
func routeOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = path
	}
	switch pattern {
	case "", "/":
		return "none"
	case "/{$}":
		return "/"
	}
	return pattern
}

// methodName returns a standard method, otherwise "other": the client chooses any other
// word, which might be a secret by mistake.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// mergeSlashes replaces doubled slashes with one, since base URLs often have a trailing slash.
// The redirect of a mux would lose the body of a POST and repeat the secret of a GET.
func mergeSlashes(u *url.URL) {
	merged := u.Path
	for strings.Contains(merged, "//") {
		merged = strings.ReplaceAll(merged, "//", "/")
	}
	if merged != u.Path {
		u.Path, u.RawPath = merged, ""
	}
}

// hasDots reports whether a path contains a "." or ".." segment, plain or encoded. Such paths
// are not served: a proxy that allows only some paths may interpret them differently.
func hasDots(u *url.URL) bool {
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func statusClass(code int) string {
	const classes = "0xx1xx2xx3xx4xx5xx6xx7xx8xx9xx"
	at := len("0xx") * (code / 100)
	return classes[at : at+len("0xx")]
}

// recorder records the response.
type recorder struct {
	http.ResponseWriter
	code  int
	begun bool // whether the header was sent
	bytes int64
	notes [maxNotes]slog.Attr
	noted int
}

// recorderOf returns the recorder that w is or wraps; nil without one.
func recorderOf(w http.ResponseWriter) *recorder {
	for {
		if rec, ok := w.(*recorder); ok {
			return rec
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = outer.Unwrap()
	}
}

// WriteHeader implements [http.ResponseWriter]. It records the first code that is not
// informational (1xx), which net/http sends as the status.
func (r *recorder) WriteHeader(code int) {
	if !r.begun && code >= http.StatusOK {
		r.code, r.begun = code, true
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.begun = true
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController access to the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Drain signals a shutdown: after Begin, requests are refused, so that load balancers and
// clients switch to other nodes while the last responses are written.
type Drain struct {
	once  sync.Once
	begun chan struct{}
}

// NewDrain returns a Drain that has not begun.
func NewDrain() *Drain { return &Drain{begun: make(chan struct{})} }

// Begin starts the refusal of requests. It is idempotent.
func (d *Drain) Begin() { d.once.Do(func() { close(d.begun) }) }

// Begun returns a channel that is closed by Begin; long-lived pages then end.
func (d *Drain) Begun() <-chan struct{} { return d.begun }

// Draining reports whether Begin was called.
func (d *Drain) Draining() bool {
	select {
	case <-d.begun:
		return true
	default:
		return false
	}
}

// Serve runs server on l, with TLS if it has a TLSConfig, until ctx is done. It then
// waits up to grace for requests in progress.
func Serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	served := make(chan error, 1)
	secure := server.TLSConfig != nil // server.Serve sets TLSConfig for HTTP/2
	go func() {
		if secure {
			served <- server.ServeTLS(l, "", "")
		} else {
			served <- server.Serve(l)
		}
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
