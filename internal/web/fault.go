package web

import (
	"log/slog"
	"net/http"
	"runtime/debug"
)

// textFault is the text of the answer after a panic, equal to the text of status 5 in the
// v1 API.
const textFault = "Internal Error"

// recovered returns a handler that logs a panic of next and answers 500 with refuse. If
// the answer has begun, it panics with http.ErrAbortHandler instead, which closes the
// connection, so that a truncated answer does not look complete. It does not log a panic
// with http.ErrAbortHandler, and passes it on.
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
			if fault == http.ErrAbortHandler { //nolint:errorlint // net/http compares the value, too
				panic(fault)
			}
			log.Error("fault in a handler", "route", routeOf(r.Pattern), "fault", fault, "stack", string(debug.Stack()))
			if rec.begun {
				panic(http.ErrAbortHandler)
			}
			for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
				w.Header().Del(name) // describes the answer that next did not complete
			}
			refuse(w, r, http.StatusInternalServerError, textFault)
		}()
		next.ServeHTTP(w, r)
	})
}
