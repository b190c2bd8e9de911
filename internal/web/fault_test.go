package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// faulty returns a mux with handlers that panic at different times.
func faulty() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/early/{x}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("X-Kept", "yes")
		panic("out of order")
	})
	mux.HandleFunc("/hint", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		panic("out of order")
	})
	mux.HandleFunc("/nil", func(_ http.ResponseWriter, r *http.Request) { _ = r.TLS.Version })
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("out of order")
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half an ans")
		panic("out of order")
	})
	mux.HandleFunc("/hinted", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "hinted")
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/fine", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	return mux
}

// TestPanic checks that a panic is logged and ends one request: with 500 in the format of
// the listener or, if the response has begun, by closing the connection.
func TestPanic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		path   string
		code   int    // 0 if the connection ends
		logged string // code in the access log
		fault  string // logged panic; "" without one
	}{
		{"/early/4477", 500, "code=500", `route=/early/{x} fault="out of order"`},
		{"/nil", 500, "code=500", `route=/nil fault="runtime error: invalid memory address`},
		{"/header", 0, "code=200", `route=/header fault="out of order"`},
		{"/late", 0, "code=200", `route=/late fault="out of order"`},
		{"/abort", 0, "code=200", ""},
		{"/fine", 200, "code=200", ""},
	}
	refuse := func(w http.ResponseWriter, r *http.Request, code int, text string) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "gate "+r.URL.Path+": "+text)
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			for name, listener := range map[string]struct {
				access, gate bool
				body         string
			}{
				"access only":     {true, false, "Internal Error\n"},
				"gate only":       {false, true, "gate " + tt.path + ": Internal Error"},
				"access and gate": {true, true, "gate " + tt.path + ": Internal Error"},
			} {
				h, log := http.Handler(faulty()), &strings.Builder{}
				reg, logger := prometheus.NewRegistry(), slog.New(slog.NewTextHandler(log, nil))
				if listener.gate {
					h = gated(t, h, logger, reg, refuse)
				}
				if listener.access {
					h = web.Access{Log: logger, Clock: clockwork.NewFakeClock(), Metrics: reg, NotFound: http.NotFoundHandler()}.Wrap(h)
				}
				rec, cut := play(t, h, tt.path)
				text := log.String()
				if cut != (tt.code == 0) || !cut && rec.Code != tt.code {
					t.Errorf("%s: %d, cut off: %t", name, rec.Code, cut)
				}
				if tt.code == 500 && rec.Body.String() != listener.body {
					t.Errorf("%s: response %q, want %q", name, rec.Body, listener.body)
				}
				for _, stale := range []string{"Content-Length", "Content-Encoding", "Cache-Control", "ETag"} {
					if got := rec.Header().Get(stale); got != "" {
						t.Errorf("%s: the response has %s: %s of the previous one", name, stale, got)
					}
				}
				if kept := rec.Header().Get("X-Kept"); tt.path == "/early/4477" && kept != "yes" {
					t.Errorf("%s: a header that does not describe the body is removed", name)
				}
				faults := strings.Count(text, "handler panicked")
				if want := min(len(tt.fault), 1); faults != want || !strings.Contains(text, tt.fault) || strings.Contains(text, "fault_test.go") != (want > 0) {
					t.Errorf("%s: logged %q, want %s and its stack", name, text, tt.fault)
				}
				if listener.access && strings.Count(text, "msg=request") != 1 || listener.access != strings.Contains(text, tt.logged) {
					t.Errorf("%s: access log %q, want %s", name, text, tt.logged)
				}
				if listener.access && !hasClass(t, reg, tt.logged[len("code="):][:1]+"xx") {
					t.Errorf("%s: the metric lacks a request of %s", name, tt.logged)
				}
			}
		})
	}
}

func gated(t *testing.T, h http.Handler, log *slog.Logger, reg prometheus.Registerer, refuse func(http.ResponseWriter, *http.Request, int, string)) http.Handler {
	t.Helper()
	gate, err := web.Gate(h, web.GateConfig{
		Refuse: refuse, Listener: "api", Log: log, Clock: clockwork.NewFakeClock(), Metrics: web.NewRefusals(reg),
	})
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// play serves one request and reports whether the handler aborted it.
func play(t *testing.T, h http.Handler, path string) (rec *httptest.ResponseRecorder, cut bool) {
	t.Helper()
	rec = httptest.NewRecorder()
	defer func() {
		switch fault := recover(); fault {
		case nil:
		case http.ErrAbortHandler:
			cut = true
		default:
			t.Errorf("%s panics with %v", path, fault)
		}
	}()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return rec, false
}

// hasClass reports whether the histogram has a request with a status class.
func hasClass(t *testing.T, reg prometheus.Gatherer, class string) bool {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "countersign_http_request_duration_seconds" && m.Label[0].GetName() == "code" && m.Label[0].GetValue() == class {
				return m.GetHistogram().GetSampleCount() == 1
			}
		}
	}
	return false
}

// TestServerSurvivesPanic checks that a truncated response is an error at the client, and
// that the server serves the next request. The access log has the final status.
func TestServerSurvivesPanic(t *testing.T) {
	t.Parallel()
	h, log, _ := wrapped(faulty())
	url, stop, served := serve(t, h, time.Minute)
	for _, tt := range []struct {
		path, body string
		cut        bool
	}{
		{"/early/1", "Internal Error\n", false}, {"/hint", "Internal Error\n", false}, {"/late", "", true}, {"/nil", "Internal Error\n", false}, {"/fine", "fine", false}, {"/hinted", "hinted", false},
	} {
		got := <-ask(t, url+tt.path)
		if (got.err != nil) != tt.cut || !tt.cut && got.body != tt.body {
			t.Errorf("%s: %+v", tt.path, got)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := strings.Count(log.String(), "handler panicked"); n != 4 {
		t.Errorf("%d faults are logged, want 4", n)
	}
	for _, want := range []string{`"route":"/hint","code":500`, `"route":"/hinted","code":200`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the access log lacks %s", want)
		}
	}
}
