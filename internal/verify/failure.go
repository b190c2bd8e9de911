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
	Text    string // complete text; "" if it equals Error
	Attempt int    // attempt of the event, from 1; 0 if unknown
}

// Failures lists the failures of an event, oldest first, each once for an attempt. It is
// encoded as one line each, "CARRIER: ERROR", with attempt and text behind tabs, so that
// events stay comparable. The zero value is an empty list.
type Failures string

const (
	maxFailures     = 10
	maxFailureError = 200 // octets
)

// Add appends a failure unless it is listed already. A list that is full loses its
// oldest entry; a long error loses its end.
func (f Failures) Add(failure Failure) Failures {
	line := failure.Carrier + ": " + oneLine(failure.Error)
	if failure.Attempt > 0 || failure.Text != "" {
		line += "\t" + strconv.Itoa(failure.Attempt)
	}
	if failure.Text != "" {
		line += "\t" + oneLine(failure.Text)
	}
	var lines []string
	if f != "" {
		lines = strings.Split(string(f), "\n")
	}
	if slices.Contains(lines, line) {
		return f
	}
	lines = append(lines, line)
	return Failures(strings.Join(lines[max(0, len(lines)-maxFailures):], "\n"))
}

// oneLine replaces control characters by spaces and shortens text to maxFailureError.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxFailureError {
		text = strings.ToValidUTF8(text[:maxFailureError], "")
	}
	return text
}

// List decodes the failures.
func (f Failures) List() []Failure {
	var list []Failure
	for line := range strings.SplitSeq(string(f), "\n") {
		if carrier, text, ok := strings.Cut(line, ": "); ok {
			text, rest, _ := strings.Cut(text, "\t")
			attempt, words, _ := strings.Cut(rest, "\t")
			n, _ := strconv.Atoi(attempt) // 0 for none
			list = append(list, Failure{Carrier: carrier, Error: text, Text: words, Attempt: n})
		}
	}
	return list
}
