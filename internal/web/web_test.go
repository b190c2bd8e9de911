package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"countersign/internal/await"
	"countersign/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wrapped returns a handler behind the middleware, its log and its metrics.
func wrapped(mux *http.ServeMux) (http.Handler, *bytes.Buffer, *prometheus.Registry) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	return web.Access{
		Log: slog.New(slog.NewJSONHandler(&log, nil)), Clock: clockwork.NewFakeClock(), Metrics: reg,
		NotFound: http.NotFoundHandler(),
	}.Wrap(mux), &log, reg
}

// TestAccessLog checks that the log describes the request, without the parts that can
// contain a secret.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/verify/{format}", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("api_secret") == "" {
			t.Errorf("the secret does not reach the handler: %v", r.Form)
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "12345")
	})
	h, log, reg := wrapped(mux)
	const canary = "canary-secret"
	get := httptest.NewRequest(http.MethodGet, "/verify/json?api_key=demo0001&api_secret="+canary, nil)
	get.Header.Set("Referer", "http://example.com/?"+canary)
	post := httptest.NewRequest(http.MethodPost, "//verify//xml", strings.NewReader("api_secret="+canary))
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	post.SetBasicAuth("demo0001", canary)
	odd := httptest.NewRequest(canary, "/verify/json?api_secret="+canary, nil)
	for _, r := range []*http.Request{get, post, odd} {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if strings.Contains(log.String(), canary) || strings.Contains(log.String(), "api_key") {
		t.Errorf("the log shows a secret: %s", log)
	}
	decoder := json.NewDecoder(log)
	for _, want := range []map[string]any{
		{"msg": "request", "method": "GET", "route": "/verify/{format}", "code": 418.0, "bytes": 5.0, "client": "192.0.2.1"},
		{"msg": "request", "method": "POST", "route": "/verify/{format}", "code": 418.0, "bytes": 5.0, "client": "192.0.2.1"},
		{"msg": "request", "method": "other", "route": "/verify/{format}", "code": 418.0, "bytes": 5.0, "client": "192.0.2.1"},
	} {
		var got map[string]any
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s is logged as %v, want %v", key, got[key], value)
			}
		}
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 3 || families[0].Metric[0].Histogram.GetSampleCount() != 1 {
		t.Errorf("metrics: %v, %v; want a series for each method", families, err)
	}
	if got := families[0].Metric[0].String(); !strings.Contains(got, "4xx") || !strings.Contains(got, "/verify/{format}") || strings.Contains(got, canary) {
		t.Errorf("the labels are %s, want the class of the code and the pattern", got)
	}
}

// TestLoggedRoute checks that a secret or a number in the path by mistake is not logged.
func TestLoggedRoute(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/verify/json": "/verify/{format}",
		"/verify/json&api_key=demo0001&api_secret=canary": "/verify/{format}",
		"/verify/json%3Fapi_secret=canary":                "/verify/{format}",
		"/verify/canary/447700900123":                     "none",
		"/verify/../canary":                               "none",
		"/canary/447700900123":                            "none",
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("/verify/{format}", func(http.ResponseWriter, *http.Request) {})
		h, log, _ := wrapped(mux)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
		line := log.String()
		var got struct{ Route string }
		if err := json.Unmarshal(log.Bytes(), &got); err != nil || got.Route != want || strings.Contains(line, "canary") || strings.Contains(line, "4477") {
			t.Errorf("%s is logged as %s (%v), want route %s", target, line, err, want)
		}
	}
}

// TestDots checks that a path with dots in any form is not served.
func TestDots(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s is served", r.URL) })
	h, _, _ := wrapped(mux)
	for _, target := range []string{"/verify/../phone", "/verify/..%2Fphone", "/verify/%2e%2e/phone", "/verify/./json", "/..", "/verify/."} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, nil))
		if rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", target, rec.Code)
		}
	}
}

// TestDoubledSlashes checks that doubled slashes are merged without a redirect, which
// would lose a body.
func TestDoubledSlashes(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/verify/{format}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.PathValue("format")+" "+string(body))
	})
	h, _, _ := wrapped(mux)
	for path, want := range map[string]string{
		"/verify/json": "json body", "//verify/json": "json body", "/verify//json": "json body", "////verify///json": "json body",
		"//verify/js%6Fn": "json body", "/verify": "", "//": "", "//verify/a/b": "",
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader("body")))
		if found := rec.Code == http.StatusOK; found != (want != "") || found && rec.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", path, rec.Code, rec.Body, want)
		}
		if rec.Code/100 == 3 {
			t.Errorf("%s is redirected", path)
		}
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	d := web.NewDrain()
	if d.Draining() {
		t.Error("draining before Begin")
	}
	select {
	case <-d.Begun():
		t.Error("closed before Begin")
	default:
	}
	for range 2 {
		d.Begin()
		if !d.Draining() {
			t.Error("not draining after Begin")
		}
		<-d.Begun()
	}
}

// serve runs a server until stop is called.
func serve(t *testing.T, h http.Handler, grace time.Duration) (url string, stop context.CancelFunc, served chan error) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served = make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, web.NewServer(h, slog.New(slog.DiscardHandler), web.Limits{}), l, grace)
	}()
	t.Cleanup(stop)
	return "http://" + l.Addr().String(), stop, served
}

type answer struct {
	body string
	err  error
}

// ask sends a request in the background, on a separate connection.
func ask(t *testing.T, url string) chan answer {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	result := make(chan answer, 1)
	go func() {
		resp, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			result <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		result <- answer{string(body), err}
	}()
	return result
}

func TestServeFinishesRequests(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	url, stop, served := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-finish
		_, _ = io.WriteString(w, "done")
	}), time.Minute)
	result := ask(t, url)
	<-began
	stop()
	await.Until(t, "closed: the listener", func() bool {
		a := <-ask(t, url)
		return a.err != nil
	})
	select {
	case err := <-served:
		t.Fatalf("Serve returned %v during a request", err)
	default:
	}
	close(finish)
	if a := <-result; a.err != nil || a.body != "done" {
		t.Errorf("the request in progress got %+v", a)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestServeGrace checks that a request beyond the grace period is aborted with an error.
func TestServeGrace(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	url, stop, served := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	}), time.Millisecond)
	result := ask(t, url)
	<-began
	stop()
	if err := <-served; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Serve: %v, want an error about the grace period", err)
	}
	if a := <-result; a.err == nil {
		t.Errorf("the request got a response: %+v", a)
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := web.Serve(t.Context(), web.NewServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler), web.Limits{}), l, time.Second); err == nil {
		t.Error("served on a closed listener")
	}
}

func TestOps(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "probes_total", Help: "x"})
	reg.MustRegister(counter)
	counter.Add(3)
	var notReady error
	h := web.Ops(reg, func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the probe has no deadline")
		}
		return notReady
	}, func() any { return []string{"a carrier"} }, nil)
	tests := []struct {
		method, path string
		notReady     error
		code         int
		body         string // part of the response
	}{
		{"GET", "/healthz", nil, 200, "ok"},
		{"GET", "/healthz", errors.New("stopping"), 200, "ok"},
		{"GET", "/readyz", nil, 200, "ready"},
		{"GET", "/readyz", errors.New("stopping"), 503, "not ready: stopping"},
		{"GET", "/metrics", nil, 200, "probes_total 3"},
		{"GET", "/carriers", nil, 200, `["a carrier"]`},
		{"POST", "/healthz", nil, 405, ""},
		{"GET", "/", nil, 404, ""},
		{"GET", web.ProfilePath, nil, 404, ""},
	}
	for _, tt := range tests {
		notReady = tt.notReady
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(tt.method, tt.path, nil))
		if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.body) {
			t.Errorf("%s %s: %d %s, want %d with %q", tt.method, tt.path, rec.Code, rec.Body, tt.code, tt.body)
		}
	}
}

// TestNote checks that a handler adds up to three attributes to the log line of its
// request, through wrapped writers; an empty value adds none.
func TestNote(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	h := web.Access{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Clock: clockwork.NewFakeClock(), Metrics: prometheus.NewRegistry(), NotFound: http.NotFoundHandler(),
	}.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w = shell{w}
		for _, name := range []string{"status", "", "account", "request_id", "more"} {
			web.Note(w, name, name)
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if got := log.String(); !strings.HasSuffix(got, " status=status account=account request_id=request_id\n") {
		t.Errorf("logged %q", got)
	}
	web.Note(httptest.NewRecorder(), "status", "0") // no middleware: no effect
}

// shell is a writer as created by middleware.
type shell struct{ http.ResponseWriter }

func (w shell) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestRouteLabel checks that routes have one form in metrics and log, for every form of
// their pattern.
func TestRouteLabel(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	nothing := func(http.ResponseWriter, *http.Request) {}
	for _, pattern := range []string{"/", "GET /{$}", "/verify/{format}", "PUT /admin/v1/accounts/{key}", "GET /phone"} {
		mux.HandleFunc(pattern, nothing)
	}
	log := &bytes.Buffer{}
	h := web.Access{
		Log: slog.New(slog.NewJSONHandler(log, nil)), Clock: clockwork.NewFakeClock(), Metrics: prometheus.NewRegistry(), NotFound: http.HandlerFunc(nothing),
	}.Wrap(mux)
	for _, tt := range []struct{ method, path, route string }{
		{"GET", "/", "/"},
		{"POST", "/verify/json", "/verify/{format}"},
		{"PUT", "/admin/v1/accounts/demo0001", "/admin/v1/accounts/{key}"},
		{"GET", "/phone", "/phone"},
		{"GET", "/nothing/447700900000", "none"},
		{"GET", "/a/../b", "none"},
	} {
		log.Reset()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(tt.method, tt.path, nil))
		if want := `"route":"` + tt.route + `"`; !strings.Contains(log.String(), want) {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, log, want)
		}
	}
}
