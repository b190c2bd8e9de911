// Package logtest provides a logger for tests. A log line with a repeated attribute fails the
// test, since JSON readers keep only one of the two, and it is undefined which.
package logtest

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// TB is the part of testing.TB that New needs.
type TB interface {
	Errorf(format string, args ...any)
	Output() io.Writer
}

// New returns a logger that writes all levels to the output of t, and reports
// repeated attributes to t. It must not be used after the test.
func New(t TB) *slog.Logger { return slog.New(Handler(t, nil)) }

// Handler returns a handler that passes records to next and reports repeated attributes to
// t. If next is nil, it writes all levels to the output of t.
func Handler(t TB, next slog.Handler) slog.Handler {
	if next == nil {
		next = slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	return &handler{Handler: next, t: t, keys: []string{slog.TimeKey, slog.LevelKey, slog.MessageKey}}
}

type handler struct {
	slog.Handler

	t     TB
	keys  []string // earlier attributes, with their groups
	group string   // open groups, each with a dot
}

// Handle implements [slog.Handler].
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	keys := h.keys
	r.Attrs(func(a slog.Attr) bool {
		keys = h.add(keys, h.group, a, r.Message)
		return true
	})
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.keys = h.add(with.keys, h.group, a, "With")
	}
	with.Handler = h.Handler.WithAttrs(attrs)
	return &with
}

// WithGroup implements [slog.Handler].
func (h *handler) WithGroup(name string) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithGroup(name)
	if name != "" {
		with.group += name + "."
	}
	return &with
}

// add returns keys and the keys in a. It reports repeated keys to the test.
func (h *handler) add(keys []string, group string, a slog.Attr, message string) []string {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			keys = h.add(keys, group, inner, message)
		}
		return keys
	}
	key := group + a.Key
	if slices.Contains(keys, key) {
		h.t.Errorf("log line %q has the attribute %s twice", message, strings.TrimSpace(key))
	}
	return append(keys[:len(keys):len(keys)], key)
}
