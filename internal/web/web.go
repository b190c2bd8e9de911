// Package web is the frame of all APIs and HTTP listeners of Countersign: the table of
// endpoints and its exchanges, problems (RFC 9457), the server and its time limits, the
// access log, the client's address, failed logins, draining and readiness.
//
// The package must not know any API's words, nor what a verification is.
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

// Access is what the middleware of a listener needs.
type Access struct {
	Log     *slog.Logger
	Clock   clockwork.Clock
	Proxies Proxies
	Metrics prometheus.Registerer

	NotFound http.Handler // answers paths that are never served
}

// Wrap puts the access log, the metrics and the repair of doubled slashes around
// a listener's handler. The log holds the route instead of the path and the query:
// a GET carries the account's secret, and a slip can put it into the path.
func (a Access) Wrap(next http.Handler) http.Handler {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "countersign_http_request_duration_seconds",
		Help:    "Time to answer an HTTP request, by method, route (a path with parameters in braces, or none) and class of the status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
	}, []string{"method", "route", "code"})
	if err := a.Metrics.Register(duration); err != nil {
		other, ok := errors.AsType[prometheus.AlreadyRegisteredError](err)
		if !ok {
			panic(err) // the metric above is wrong
		}
		duration = other.ExistingCollector.(*prometheus.HistogramVec) // of another listener
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
		defer func() { // also after a panic, for an answer that ends with its connection
			took := a.Clock.Since(begin)
			duration.WithLabelValues(methodName(r.Method), routeOf(r.Pattern), statusClass(rec.code)).Observe(took.Seconds())
			a.log(rec, r, took)
		}()
		served.ServeHTTP(rec, r)
	})
}

// log writes the line of a request. It avoids Info, which boxes each value: every request
// writes this one line.
func (a Access) log(rec *recorder, r *http.Request, took time.Duration) {
	attrs := append(make([]slog.Attr, 0, 6+maxNotes), slog.String("method", methodName(r.Method)),
		slog.String("route", routeOf(r.Pattern)), slog.Int("code", rec.code), slog.Int64("bytes", rec.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.String("client", a.Proxies.Client(r)))
	a.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", append(attrs, rec.notes[:rec.noted]...)...)
}

// maxNotes bounds the attributes that a handler adds to the line of its request.
const maxNotes = 3

// Note adds an attribute to the line in the access log that [Access] writes for the
// request of w, unless value is empty. The value must be no secret and no full number.
// More than three have no effect.
func Note(w http.ResponseWriter, name, value string) {
	if rec := recorderOf(w); value != "" && rec != nil && rec.noted < maxNotes {
		rec.notes[rec.noted] = slog.String(name, value)
		rec.noted++
	}
}

// routeOf returns the path of a mux's pattern, without its method; "none" for a path that
// is not served, which has no pattern or the one of everything.
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

// methodName is a method that there is. Any other word is the client's, and might be
// a secret that has slipped there.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// mergeSlashes takes doubled slashes for one: a base URL that ends in a slash is a
// common slip, and the redirect that a mux answers with would lose the body of a
// POST and repeat the secret of a GET.
func mergeSlashes(u *url.URL) {
	merged := u.Path
	for strings.Contains(merged, "//") {
		merged = strings.ReplaceAll(merged, "//", "/")
	}
	if merged != u.Path {
		u.Path, u.RawPath = merged, ""
	}
}

// hasDots reports whether a path has "." or ".." in it, plain or encoded. Such a
// path is not served: whoever stands in front and lets only some paths pass may
// have read it another way.
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

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	code  int
	begun bool // the header was sent
	bytes int64
	notes [maxNotes]slog.Attr
	noted int
}

// recorderOf returns the recorder that w is or wraps; nil if there is none.
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
// informational (1xx), which is the one that net/http sends as the status of the answer.
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

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Drain is the wish to stop: from Begin on, requests are turned away, so that a
// load balancer and its clients go elsewhere while the last answers are written.
type Drain struct {
	once  sync.Once
	begun chan struct{}
}

// NewDrain returns a Drain that has not begun.
func NewDrain() *Drain { return &Drain{begun: make(chan struct{})} }

// Begin makes every later request be turned away. It may be called again.
func (d *Drain) Begin() { d.once.Do(func() { close(d.begun) }) }

// Begun is closed once the server is to stop; pages that stay open end then.
func (d *Drain) Begun() <-chan struct{} { return d.begun }

// Draining reports whether the server is to stop.
func (d *Drain) Draining() bool {
	select {
	case <-d.begun:
		return true
	default:
		return false
	}
}

// Serve runs server on l, with TLS if it has a TLSConfig, until ctx ends; then it
// lets the requests under way finish within grace.
func Serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	served := make(chan error, 1)
	secure := server.TLSConfig != nil // Serve itself sets one, for HTTP/2
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
