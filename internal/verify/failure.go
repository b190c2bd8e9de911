package verify

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Failure is a hand-over of an event that a carrier did not accept.
type Failure struct {
	Carrier string // name in the configuration, without ": "
	Error   string // the carrier's code and its name, or the fault of the connection
	Attempt int    // of the event, from 1; 0 if unknown
}

// Failures lists the failures of an event, oldest first, each once for an attempt. It is
// encoded as one line each, "CARRIER: ERROR", a tab and the attempt, so that events stay
// comparable. The zero value is an empty list.
type Failures string

const (
	maxFailures     = 10
	maxFailureError = 200 // octets
)

// Add appends a failure unless it is listed already. A list that is full loses its
// oldest entry; a long error loses its end.
func (f Failures) Add(failure Failure) Failures {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, failure.Error)
	if len(text) > maxFailureError {
		text = strings.ToValidUTF8(text[:maxFailureError], "")
	}
	var lines []string
	if f != "" {
		lines = strings.Split(string(f), "\n")
	}
	line := failure.Carrier + ": " + text
	if failure.Attempt > 0 {
		line += "\t" + strconv.Itoa(failure.Attempt)
	}
	if slices.Contains(lines, line) {
		return f
	}
	lines = append(lines, line)
	return Failures(strings.Join(lines[max(0, len(lines)-maxFailures):], "\n"))
}

// List decodes the failures.
func (f Failures) List() []Failure {
	var list []Failure
	for line := range strings.SplitSeq(string(f), "\n") {
		if carrier, text, ok := strings.Cut(line, ": "); ok {
			text, attempt, _ := strings.Cut(text, "\t")
			n, _ := strconv.Atoi(attempt) // 0 for none
			list = append(list, Failure{carrier, text, n})
		}
	}
	return list
}
