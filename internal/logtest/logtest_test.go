package logtest_test

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"

	"countersign/internal/logtest"
)

// witness is a TB that records its errors.
type witness struct{ errs []string }

func (w *witness) Errorf(format string, args ...any) {
	w.errs = append(w.errs, fmt.Sprintf(format, args...))
}

func (*witness) Output() io.Writer { return io.Discard }

func TestRepeatedAttributes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		log  func(*slog.Logger)
		want []string
	}{
		{"none", func(l *slog.Logger) { l.With("carrier", "a").Info("x", "error", "b"); l.Info("x", "carrier", "a") }, nil},
		{"in one line", func(l *slog.Logger) { l.Info("x", "a", 1, "b", 2, "a", 3) }, []string{"a"}},
		{"with and line", func(l *slog.Logger) { l.With("carrier", "c").Warn("x", "carrier", "c") }, []string{"carrier"}},
		{"with and with", func(l *slog.Logger) { l.With("carrier", "c").With("carrier", "c").Debug("x") }, []string{"carrier"}},
		{"built in", func(l *slog.Logger) { l.Info("x", "msg", "y") }, []string{"msg"}},
		{"other group", func(l *slog.Logger) { l.With("a", 1).WithGroup("g").Info("x", "a", 2) }, nil},
		{"same group", func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("x", "a", 2) }, []string{"g.a"}},
		{"group as attribute", func(l *slog.Logger) { l.Info("x", slog.Group("g", "a", 1), slog.Group("g", "a", 2)) }, []string{"g.a"}},
		{"siblings", func(l *slog.Logger) { l = l.With("a", 1); l.With("b", 1).Info("x"); l.With("c", 1).Info("x", "b", 1) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w witness
			tt.log(logtest.New(&w))
			var want []string
			for _, key := range tt.want {
				message := "x"
				if tt.name == "with and with" {
					message = "With"
				}
				want = append(want, fmt.Sprintf("log line %q has the attribute %s twice", message, key))
			}
			if !slices.Equal(w.errs, want) {
				t.Errorf("reported %q, want %q", w.errs, want)
			}
		})
	}
}
