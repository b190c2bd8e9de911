package web

import (
	"log/slog"
	"net/http"
	"runtime/debug"
)

// textFault is the response text after a panic, equal to status 5 of the v1 API.
const textFault = "Internal Error"

// recovered returns a handler that logs a panic of next and responds 500 with refuse. If
// the response has begun, it panics with http.ErrAbortHandler instead, which closes the
// connection, so that a truncated response does not look complete. It passes on a panic
// with http.ErrAbortHandler without logging it.
func recovered(next http.Handler, log *slog.Logger, refuse func(w http.ResponseWriter, r *http.Request, code int, text string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := recorderOf(w)
		if rec == nil {
			rec = &recorder{ResponseWriter: w, code: http.StatusOK}
			w = rec
		}
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler { //nolint:errorlint // net/http compares the value as well
				panic(fault)
			}
			log.Error("handler panicked", "route", routeOf(r.Pattern), "fault", fault, "stack", string(debug.Stack()))
			if rec.begun {
				panic(http.ErrAbortHandler)
			}
			for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
				w.Header().Del(name) // header of the incomplete response of next
			}
			refuse(w, r, http.StatusInternalServerError, textFault)
		}()
		next.ServeHTTP(w, r)
	})
}
