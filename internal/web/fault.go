package web

import (
	"log/slog"
	"net/http"
	"runtime/debug"
)

// textFault is the text of the answer after a panic. It is the text of the v1 API's status 5.
const textFault = "Internal Error"

// recovered returns a handler that logs a panic of next and answers 500 with refuse. If
// the answer has begun, it closes the connection instead: the client must not take a part
// for the whole. It passes on http.ErrAbortHandler.
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
			if fault == http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
				panic(fault)
			}
			log.Error("fault in a handler", "route", routeOf(r.Pattern), "fault", fault, "stack", string(debug.Stack()))
			if rec.begun {
				panic(http.ErrAbortHandler)
			}
			for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
				w.Header().Del(name) // the interrupted answer had set it
			}
			refuse(w, r, http.StatusInternalServerError, textFault)
		}()
		next.ServeHTTP(w, r)
	})
}
