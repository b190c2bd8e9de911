// Package timetext parses durations and times in the configuration and in command-line
// flags.
//
// The package must not depend on flags or settings: callers add their names to errors.
package timetext

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// longUnits matches a number with a unit that package time lacks. A day has 24 hours.
var longUnits = regexp.MustCompile(`([0-9]*\.?[0-9]+)([dw])`)

// Duration parses a duration such as 500ms, 12h, 30d, 2w or 1d12h. It extends
// [time.ParseDuration] by days (d) and weeks (w).
func Duration(text string) (time.Duration, error) {
	hours := longUnits.ReplaceAllStringFunc(text, func(part string) string {
		end := len(part) - 1
		n, _ := strconv.ParseFloat(part[:end], 64) // the pattern matches only numbers
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

// layouts are the formats of absolute times. Times without a zone are in UTC.
//
//nolint:gochecknoglobals // a table
var layouts = []string{
	time.DateOnly, time.RFC3339Nano,
	"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00",
}

// Moment parses a time and returns it in UTC. It accepts RFC 3339, a date with or without
// a time of day, and the words now, today, yesterday and tomorrow. A [Duration] means that
// long before now; with a plus sign, after now. A day is its midnight in UTC.
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
