package server

import (
	"context"
	"errors"
	"log/slog"

	"countersign/internal/store"
)

// Quiet returns a log that demotes failures of an unavailable database to debug level.
func Quiet(log *slog.Logger) *slog.Logger { return slog.New(quietHandler{log.Handler()}) }

// quietHandler demotes failures of an unavailable database to debug level. The store logs
// the outage: its beginning, one line a minute, and its end. Otherwise every request,
// task and receipt would log it again.
type quietHandler struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelDebug && ofOutage(r) {
		if !h.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		r.Level = slog.LevelDebug
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}

// ofOutage reports whether a record contains an error that the store has counted as part
// of an outage.
func ofOutage(r slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		if ok {
			_, found = errors.AsType[*store.UnavailableError](err)
		}
		return !found
	})
	return found
}
