// Package console serves the pages for browsers. Currently this is /phone, the virtual
// phone, with a small JSON API by which tests read the same messages.
//
// Pages are rendered on the server, and all their assets are embedded. Scripts only keep
// them up to date. The package must not depend on the origin or storage of messages: it
// reads an inbox and synthesises calls with a [Speaker].
package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/message"
)

// Speaker synthesises the script of a call.
type Speaker interface {
	// WAV writes the spoken script to w as a WAV file. The output for a script must
	// always be the same, since a browser may fetch a call in several ranges.
	WAV(ctx context.Context, w io.Writer, s message.Script) error
}

// Watcher notifies of new messages before the next refresh. [virtual.Phone] implements
// it.
type Watcher interface {
	Watch(number string) (changed <-chan struct{}, stop func())
}

var _ Watcher = (*virtual.Phone)(nil)

// Config describes the pages.
type Config struct {
	Inbox   virtual.Inbox // required
	Speaker Speaker       // required
	Watcher Watcher       // if nil, live pages show a message at the next refresh
	Log     *slog.Logger  // slog.Default() if nil

	// Delivered waits until all messages in flight to number ("" for every number) have
	// arrived, or ctx is done. If nil, the API may list the messages of a number before
	// a message that is still in flight arrives.
	Delivered func(ctx context.Context, number string)

	// Draining is closed at the start of a shutdown. It ends live pages, since
	// http.Server.Shutdown waits for them. It is not the context of the requests, so
	// that other requests can finish.
	Draining <-chan struct{}

	// Refresh is the interval at which a live page reads the inbox, for messages that
	// other nodes stored. Defaults to 1 second.
	Refresh time.Duration

	// MaxLive bounds the concurrent live pages. Further pages get a 503 and retry.
	// Defaults to 64.
	MaxLive int
}

// Handler returns a handler for /phone and all paths below it. It responds with 404 to
// unknown paths and with 405 to methods other than GET and HEAD.
func Handler(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Refresh == 0 {
		c.Refresh = time.Second
	}
	if c.MaxLive == 0 {
		c.MaxLive = 64
	}
	p := &virtualPhone{Config: c, assets: loadAssets(), live: make(chan struct{}, c.MaxLive)}

	mux := http.NewServeMux()
	handle := func(pattern string, h handlerFunc) { mux.Handle(pattern, h.logTo(c.Log)) }
	handle("GET /phone", p.page)
	handle("GET /phone/api/messages", p.messages)
	handle("GET /phone/api/events", p.events)
	handle("GET /phone/audio/{file}", p.audio)
	handle("GET /phone/assets/{file}", p.assets.serve)
	return secure(mux)
}

// handlerFunc is a handler that returns internal errors to its caller.
type handlerFunc func(http.ResponseWriter, *http.Request) error

// logTo returns a handler that logs an error and responds with 500, unless the request
// was canceled. The log omits the query, which contains a number.
func (h handlerFunc) logTo(log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil || r.Context().Err() != nil {
			return
		}
		log.ErrorContext(r.Context(), "page failed", "page", r.Pattern, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	})
}

// secure sets the security headers. Pages cannot load, run or send anything outside this
// origin, cannot be framed, and send no referrer, since the URL contains a number.
// Responses are not cached, since they contain PINs; assets override this.
func secure(next http.Handler) http.Handler {
	const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
		"media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
