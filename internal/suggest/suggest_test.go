package suggest_test

import (
	"testing"

	"countersign/internal/suggest"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	levels := []string{"debug", "info", "warn", "error"}
	settings := []string{"addresses", "system_id", "system_type", "password", "password_file"}
	for _, tt := range []struct {
		word  string
		known []string
		want  string
	}{
		{"inof", levels, "info"},
		{"INFO", levels, "info"},
		{"warning", levels, "warn"},
		{"err", levels, "error"},
		{"inffo", levels, "info"},
		{"loud", levels, ""},
		{"", levels, ""},
		{"x", levels, ""},
		{"sytem_id", settings, "system_id"},
		{"systemid", settings, "system_id"},
		{"system-type", settings, "system_type"},
		{"adresses", settings, "addresses"},
		{"passwort", settings, "password"},
		{"password_fiel", settings, "password_file"},
		{"nonsense", settings, ""},
		{"a", []string{"b"}, ""},
		{"größe", []string{"grösse", "größen"}, "größen"},
		{"word", nil, ""},
	} {
		if got := suggest.Nearest(tt.word, tt.known); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
	if got := suggest.Hint("inof", levels); got != "; did you mean info?" {
		t.Errorf("Hint = %q", got)
	}
	if got := suggest.Hint("loud", levels); got != "" {
		t.Errorf("Hint = %q", got)
	}
}
