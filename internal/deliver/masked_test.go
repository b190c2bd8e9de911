package deliver_test

import (
	"testing"

	"countersign/internal/deliver"
)

// TestMasked: runs of three or more digits are masked, short codes are not.
func TestMasked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{
		{"Number 447700900123 not in service", 60, "Number … not in service"},
		{"+44 7700 900123, cause 34", 60, "+44 … …, cause 34"},
		{"447700900123", 60, "…"}, {"Busy Here", 4, "Busy"}, {" a\tb\r\n", 60, "a b"}, {"", 60, ""},
		{"٠٧٧٠٠٩٠٠ is busy", 60, "… is busy"},
		{"called 447700", 10, "called …"}, {"é…", 3, "é"},
	} {
		if got := deliver.Masked(tt.in, tt.limit); got != tt.want {
			t.Errorf("%q, %d octets: got %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}
