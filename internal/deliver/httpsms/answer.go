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
	maxAnswer = 64 << 10 // bytes of an answer that are read

	// How long a gateway that asks for patience is left alone: when it does not
	// say, and at most.
	shortPause = time.Second
	maxPause   = 5 * time.Minute
)

// answer is what a gateway said to one request.
type answer struct {
	status int
	body   []byte
	cut    bool // the body went on, or broke off
	doc    any  // the body as JSON
	isJSON bool
	pause  time.Duration // it asked for
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

// pauseOf reads Retry-After (RFC 9110, section 10.2.3), in either of its forms. It
// counts if the message was not sent.
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

// compare judges the values at p: whether each is (or, with not, is none) of values.
// If only some are, a part of the message was taken and a part was not. A missing
// value differs from every value, but does not tell that the message was refused.
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

// refs are the values at p, in order; nil if any of them is missing.
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

// validRef keeps out what no gateway uses as an id, and nobody wants in a table.
func validRef(s string) bool {
	const longest = 256
	return s != "" && len(s) <= longest && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// refusal returns the error of an answer that did not accept the message; nil if it
// did. The error wraps [deliver.ErrRefused] or [deliver.ErrNotSent] where that is
// certain, and has a code. sent is the request: see [Gateway.said].
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

// isCode reports whether s is a short word or number, with too few digits for the
// number of a phone.
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
