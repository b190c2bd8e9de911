package main

import (
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"countersign/internal/timetext"
)

// decodeDuration reads the flags of type time.Duration; see [timetext.Duration].
func decodeDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := timetext.Duration(text)
	if err == nil {
		target.SetInt(int64(d))
	}
	return err
}

// moment is a time in a flag; see [timetext.Moment]. "" means no time.
type moment string

// Decode implements [kong.MapperValue]. It refuses invalid times.
func (m *moment) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("time", &text); err != nil {
		return err
	}
	if text != "" {
		if _, err := timetext.Moment(text, time.Time{}); err != nil {
			return err
		}
	}
	*m = moment(text)
	return nil
}

// at returns the time in RFC 3339; "" for no time.
func (m moment) at(now time.Time) string {
	t, err := timetext.Moment(string(m), now)
	if err != nil {
		return "" // Decode refuses invalid times
	}
	return t.Format(time.RFC3339Nano)
}
