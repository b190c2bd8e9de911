package smsc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// share is the frequency of a fault.
type share struct {
	percent float64
	times   int // number of messages from now on; replaces percent
}

// span is the range of a random duration.
type span struct{ from, to time.Duration }

func (s span) draw(r *rand.Rand) time.Duration {
	if s.to <= s.from {
		return s.from
	}
	return s.from + time.Duration(r.Int64N(int64(s.to-s.from)+1))
}

const (
	maxSpan  = 24 * time.Hour
	maxTimes = 1_000_000_000
	maxRate  = 100_000
)

func parseRule(d description, value string) (r rule, err error) {
	r = rule{often: share{percent: 100}, status: d.status, span: span{0, d.span}}
	switch d.shape {
	case shapeNone:
		if value != "" {
			err = errors.New("takes no value")
		}
	case shapeShare:
		r.often, err = parseShare(value)
	case shapeStatus:
		often, status, given := strings.Cut(value, ":")
		if r.often, err = parseShare(often); err == nil && given {
			r.status, err = parseStatus(status)
		}
	case shapeTarget:
		if digits := strings.TrimPrefix(value, "+"); isDigits(digits) {
			r.prefix = digits
			return r, nil
		}
		r.often, err = parseShare(value)
	case shapeSpan:
		if value != "" || d.span == 0 {
			r.span, err = parseSpan(value)
		}
	case shapeList:
		for word := range strings.SplitSeq(value, "/") {
			status := pdu.StatusOK
			if word != "0" {
				if status, err = parseStatus(word); err != nil {
					return r, err
				}
			}
			r.list = append(r.list, status)
		}
	case shapeTag:
		tag, status, given := strings.Cut(value, ":")
		n, tagErr := strconv.ParseUint(tag, 0, 16)
		if tagErr != nil || n == 0 {
			return r, fmt.Errorf("invalid tag %q; use a number such as 0x1400", tag)
		}
		if r.tag = pdu.Tag(n); given {
			r.status, err = parseStatus(status)
		}
	case shapeRate:
		r.limit, err = strconv.Atoi(value)
		if err != nil || r.limit < 1 || r.limit > maxRate {
			err = fmt.Errorf("invalid rate %q; use a number from 1 to %d", value, maxRate)
		}
	}
	return r, err
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func parseShare(s string) (share, error) {
	if s == "" {
		return share{percent: 100}, nil
	}
	if n, ok := strings.CutSuffix(s, "x"); ok {
		if times, err := strconv.Atoi(n); err == nil && times >= 1 && times <= maxTimes {
			return share{times: times}, nil
		}
	}
	if n, ok := strings.CutSuffix(s, "%"); ok {
		if percent, err := strconv.ParseFloat(n, 64); err == nil && percent >= 0 && percent <= 100 {
			return share{percent: percent}, nil
		}
	}
	return share{}, fmt.Errorf("invalid share %q; use a percentage such as 30%% or a count such as 2x", s)
}

func parseStatus(s string) (pdu.Status, error) {
	status, err := pdu.ParseStatus(s)
	if err != nil {
		return 0, fmt.Errorf("invalid command_status %q; use an error status such as 0x45", s)
	}
	return status, nil
}

func parseSpan(s string) (span, error) {
	from, to, isRange := strings.Cut(s, "-")
	a, err := time.ParseDuration(from)
	b := a
	if err == nil && isRange {
		b, err = time.ParseDuration(to)
	}
	if err != nil || a < 0 || b < a || b > maxSpan {
		return span{}, fmt.Errorf("invalid time %q; use a duration or range such as 200ms or 0-2s, at most %s", s, maxSpan)
	}
	return span{a, b}, nil
}
