package smsc

import (
	"errors"
	"fmt"
	"time"
)

var errWhen = errors.New("invalid time format (SMPP §7.1.1)")

// parseWhen parses a time "YYMMDDhhmmsstnnp" (§7.1.1.1). If p is + or -, the time is
// absolute, with an offset from UTC of nn quarters of an hour. If p is R, it is
// relative to now.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if len(s) != 16 || !isDigits(s[:15]) {
		return time.Time{}, errWhen
	}
	two := func(i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }
	year, month, day, hour, minute, second := two(0), two(2), two(4), two(6), two(8), two(10)
	tenth, quarters := int(s[12]-'0'), two(13)
	if s[15] == 'R' {
		length := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
		return now.AddDate(year, month, day).Add(length), nil
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 || quarters > 48 {
		return time.Time{}, errWhen
	}
	offset := quarters * 15 * 60
	switch s[15] {
	case '+':
	case '-':
		offset = -offset
	default:
		return time.Time{}, errWhen
	}
	zone := time.FixedZone("", offset)
	return time.Date(2000+year, time.Month(month), day, hour, minute, second, tenth*100_000_000, zone), nil
}

// formatWhen formats an absolute time in UTC.
func formatWhen(t time.Time) string {
	t = t.UTC()
	return t.Format("060102150405") + fmt.Sprintf("%d00+", t.Nanosecond()/100_000_000)
}
