package web

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Ops returns the handler of the operations listener, for operators and load balancers:
// /healthz (the process runs), /readyz (the server accepts traffic), /metrics, /carriers
// (their status as JSON), and [ProfilePath]. A nil profile omits the last.
func Ops(reg prometheus.Gatherer, ready func(context.Context) error, carriers func() any, profile http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), probeTime)
		defer cancel()
		if err := ready(ctx); err != nil {
			writeText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		writeText(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /carriers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(carriers()) // the client may have disconnected
	})
	if profile != nil {
		mux.Handle("GET "+ProfilePath, profile)
	}
	return mux
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // the client may have disconnected
}

// RefuseText responds with a code and a text.
func RefuseText(w http.ResponseWriter, _ *http.Request, code int, text string) {
	writeText(w, code, text)
}
