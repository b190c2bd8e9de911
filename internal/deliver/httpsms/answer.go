package httpsms

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/deliver"
)

const (
	maxAnswer = 64 << 10 // bytes read of an answer

	// Pause after 429 or 503 without Retry-After, and maximum for Retry-After.
	shortPause = time.Second
	maxPause   = 5 * time.Minute
)

// answer is the response of a gateway to one request.
type answer struct {
	status int
	body   []byte
	cut    bool // the body is too long or incomplete
	doc    any  // body decoded as JSON
	isJSON bool
	pause  time.Duration // requested pause before the next message
}

func readAnswer(r *http.Response, now time.Time) answer {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	a := answer{status: r.StatusCode, body: body, cut: err != nil, pause: pauseOf(r, now)}
	if len(body) > maxAnswer {
		a.body, a.cut = body[:maxAnswer], true
	}
	if !a.cut {
		a.doc, err = decodeJSON(a.body)
		a.isJSON = err == nil
	}
	return a
}

// pauseOf returns the pause that a response requests with Retry-After (RFC 9110, section
// 10.2.3), or shortPause for 429 and 503 without it.
func pauseOf(r *http.Response, now time.Time) time.Duration {
	var pause time.Duration
	if r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable {
		pause = shortPause
	}
	after := r.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		pause = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		pause = max(0, at.Sub(now))
	}
	return min(pause, maxPause)
}

// compare reports whether each value at p is in values, or with not, not in values. It
// returns unclear if the results differ, since then only some parts of the message were
// accepted. A missing value counts as different with not, otherwise as unclear.
func (a answer) compare(p path, values []string, not bool) verdict {
	if !a.isJSON {
		return unclear
	}
	var seen [yes + 1]bool
	for _, l := range p.find(a.doc) {
		switch {
		case l.missing && not:
			seen[yes] = true
		case l.missing:
			seen[unclear] = true
		default:
			seen[verdictOf(slices.Contains(values, l.text) != not)] = true
		}
	}
	switch {
	case seen[unclear], seen[yes] && seen[no]:
		return unclear
	default:
		return verdictOf(seen[yes])
	}
}

// refs returns the values at p, in order; nil if any is missing or invalid.
func (a answer) refs(p path) []string {
	if p == nil || !a.isJSON {
		return nil
	}
	var refs []string
	for _, l := range p.find(a.doc) {
		if l.missing || l.null || !validRef(l.text) {
			return nil
		}
		refs = append(refs, l.text)
	}
	return refs
}

// validRef reports whether s can be stored as a message id.
func validRef(s string) bool {
	const longest = 256
	return s != "" && len(s) <= longest && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// refusal returns nil if the answer accepts the message, otherwise an error with a code.
// It wraps [deliver.ErrRefused] or [deliver.ErrNotSent] unless the outcome is unclear.
// sent is the request, see [Gateway.said].
func (g *Gateway) refusal(a answer, sent string) error {
	no := func(format string, args ...any) error {
		return &answerError{a.status, fmt.Sprintf(format, args...), g.said(a, sent)}
	}
	if v, _ := g.temporary.judge(a); len(g.temporary) > 0 && v == yes {
		return fmt.Errorf("%w: %w", deliver.ErrNotSent, no("answered HTTP %d, temporarily", a.status))
	}
	v, decisive := g.success.judge(a)
	switch {
	case v == yes:
		return nil
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %w", deliver.ErrNotSent, no("answered HTTP %d", a.status))
	case v == unclear:
		return no("answered HTTP %d, which leaves open whether %q holds", a.status, decisive.text)
	case a.status >= 500 || a.status == http.StatusRequestTimeout:
		return no("answered HTTP %d: outcome unclear", a.status)
	default:
		return fmt.Errorf("%w: %w", deliver.ErrRefused, no("answered HTTP %d, and %q does not hold", a.status, decisive.text))
	}
}

// isCode reports whether s is a short word or number with too few digits for a phone
// number.
func isCode(s string) bool {
	const longest, mostDigits = 32, 6
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return s != "" && len(s) <= longest && digits <= mostDigits
}
