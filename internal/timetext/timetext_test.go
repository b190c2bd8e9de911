package timetext_test

import (
	"strings"
	"testing"
	"time"

	"countersign/internal/timetext"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "12h": 12 * time.Hour, "30d": 30 * day, "2w": 14 * day,
		"1d12h": 36 * time.Hour, "1w2d3h4m5s": 9*day + 3*time.Hour + 4*time.Minute + 5*time.Second,
		"1.5d": 36 * time.Hour, ".5w": 84 * time.Hour, "-1d": -day, "-1d12h": -36 * time.Hour, "396d": 396 * day,
		"9504h": 396 * day, "0d": 0,
	} {
		if got, err := timetext.Duration(text); err != nil || got != want {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "30", "30 d", "1y", "1mo", "yesterday", "1d-12h", "1e3d", "200000000w", "1dd", "1D", "∞d", "1.2.3d"} {
		if got, err := timetext.Duration(text); err == nil || !strings.Contains(err.Error(), "30d") || text != "" && !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %s (%v), want an error with the forms and the text", text, got, err)
		}
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 1, 30, 0, 0, time.FixedZone("", 2*3600)) // 2026-02-28T23:30Z
	for text, want := range map[string]string{
		"now": "2026-02-28T23:30:00Z", "today": "2026-02-28T00:00:00Z", "Yesterday": "2026-02-27T00:00:00Z",
		"tomorrow": "2026-03-01T00:00:00Z", "2h": "2026-02-28T21:30:00Z", "7d": "2026-02-21T23:30:00Z",
		"-7d": "2026-02-21T23:30:00Z", "1d12h": "2026-02-27T11:30:00Z", "+30d": "2026-03-30T23:30:00Z",
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T12:00:00Z": "2026-01-31T12:00:00Z",
		"2026-01-31T12:00:00+02:00": "2026-01-31T10:00:00Z", "2026-01-31T12:00:00.25Z": "2026-01-31T12:00:00.25Z",
		"2026-01-31T12:00": "2026-01-31T12:00:00Z", "2026-01-31 12:00": "2026-01-31T12:00:00Z",
		"2026-01-31 12:00:30": "2026-01-31T12:00:30Z", "2026-01-31 12:00+01:00": "2026-01-31T11:00:00Z",
	} {
		if got, err := timetext.Moment(text, now); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: got %s (%v), want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
	for _, text := range []string{"", "31.01.2026", "2026-02-30", "2026-13-01", "last week", "12:00", "+-2h", "--2h", "+", "1769860800"} {
		if got, err := timetext.Moment(text, now); err == nil || !strings.Contains(err.Error(), "yesterday") || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %s (%v), want an error with the forms and the text", text, got, err)
		}
	}
}
