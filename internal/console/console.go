// Package console serves the pages that a person opens in a browser. For now
// that is one: /phone, the virtual phone, with the small JSON API by which tests
// read the same messages.
//
// Pages are rendered on the server and carry everything they need in the binary;
// scripts only keep them up to date. The package must not know how a message
// came to be or where it is kept: it reads an inbox and has calls spoken by a
// [Speaker].
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

// Speaker turns the script of a call into sound.
type Speaker interface {
	// WAV writes s, spoken, to w as a WAV file. The same script must give the
	// same bytes each time, since a browser may fetch a call piece by piece.
	WAV(ctx context.Context, w io.Writer, s message.Script) error
}

// Watcher tells of new messages sooner than the next look into the inbox would;
// [virtual.Phone] does.
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

	// Delivered waits until the messages on their way to number ("" for any) have
	// arrived, or ctx ends. If nil, the API may list a number's messages a moment
	// before the one that was just asked for is there.
	Delivered func(ctx context.Context, number string)

	// Draining is closed when the server begins to shut down. Live pages end
	// then, for http.Server.Shutdown waits for them. The other requests finish,
	// which is why this is not the context of the requests.
	Draining <-chan struct{}

	// Refresh is how often a live page looks into the inbox for what another
	// node filed; 1 second if 0.
	Refresh time.Duration

	// MaxLive bounds the live pages that are open at once; 64 if 0. The pages
	// beyond it ask again until there is room.
	MaxLive int
}

// Handler serves /phone and all paths below it. It answers 404 for the paths it
// does not know and 405 for methods other than GET and HEAD.
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

// handlerFunc is a handler that leaves to its caller what is nobody's mistake
// but ours.
type handlerFunc func(http.ResponseWriter, *http.Request) error

// logTo answers an error with 500 and logs it; one that comes from a browser
// that went away is neither. The query is left out of the log: it holds a number.
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

// secure forbids every page to load, run or send anything that is not served
// here, to be framed, and to tell where it was: the address holds a number.
// Nothing is stored, for every answer holds a PIN (assets say otherwise).
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
