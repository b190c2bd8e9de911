package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/web"
)

// access returns a function that sends one request through the middleware, including its
// log line.
func access() func() {
	mux := http.NewServeMux()
	mux.HandleFunc("/verify/{format}", func(http.ResponseWriter, *http.Request) {})
	h := web.Access{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: clockwork.NewRealClock(), Metrics: prometheus.NewRegistry(),
		NotFound: http.NotFoundHandler(),
	}.Wrap(mux)
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/verify/json", nil)
	return func() { h.ServeHTTP(w, r) }
}

// TestAccessAllocations checks that the middleware allocates no more than its budget.
func TestAccessAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	const budget = 3
	got := testing.AllocsPerRun(100, access())
	t.Logf("%.0f allocations, limit %d", got, budget)
	if got > budget {
		t.Errorf("%.0f allocations, want at most %d", got, budget)
	}
}

func BenchmarkAccess(b *testing.B) {
	run := access()
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}
