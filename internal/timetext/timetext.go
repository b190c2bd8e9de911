// Package timetext reads durations and times as operators write them: in the
// configuration and in the flags of commands.
//
// The package must not know flags or settings: the caller names them in its errors.
package timetext

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// longUnits are a number with a unit that package time lacks. A day has 24 hours.
var longUnits = regexp.MustCompile(`([0-9]*\.?[0-9]+)([dw])`)

// Duration reads a duration such as 500ms, 12h, 30d, 2w or 1d12h. It extends
// [time.ParseDuration] by days (d) and weeks (w).
func Duration(text string) (time.Duration, error) {
	hours := longUnits.ReplaceAllStringFunc(text, func(part string) string {
		end := len(part) - 1
		n, _ := strconv.ParseFloat(part[:end], 64) // the pattern is a number
		if part[end] == 'w' {
			n *= 7
		}
		return strconv.FormatFloat(n*24, 'f', -1, 64) + "h"
	})
	d, err := time.ParseDuration(hours)
	if err != nil {
		return 0, fmt.Errorf("must be a duration such as 500ms, 5s, 2h, 30d, 2w or 1d12h, not %q", text)
	}
	return d, nil
}

// layouts are the forms of a time, besides those relative to now. Without a zone they
// are UTC.
//
//nolint:gochecknoglobals // a table
var layouts = []string{
	time.DateOnly, time.RFC3339Nano,
	"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00",
}

// Moment reads a time and returns it in UTC. The forms are RFC 3339; a date with or
// without a time of day; now, today, yesterday and tomorrow; a [Duration] before now; and
// a Duration after now, with a plus sign. A day is its first moment.
func Moment(text string, now time.Time) (time.Time, error) {
	now = now.UTC()
	midnight := now.Truncate(24 * time.Hour)
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	case "tomorrow":
		return midnight.AddDate(0, 0, 1), nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if d, err := Duration(strings.TrimLeft(text, "+-")); err == nil && len(text)-len(strings.TrimLeft(text, "+-")) < 2 {
		if strings.HasPrefix(text, "+") {
			return now.Add(d), nil
		}
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("must be a time such as 2026-01-31T12:00:00Z or '2026-01-31 12:00' (UTC), a day such as 2026-01-31, yesterday or today, or a time span before now such as 2h or 7d, not %q", text)
}
