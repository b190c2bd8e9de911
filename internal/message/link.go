package message

import (
	_ "embed"
	"iter"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// topLevels are the top-level domains of the internet, one a line, in Unicode and in the
// form of the DNS (xn--…); "#" begins a comment.
//
//go:embed tlds.txt
var topLevels string

// findLink returns the first link in text that is not a link in allowed, or "".
func findLink(text, allowed string) string {
	exempt := slices.Collect(links(allowed))
	for link := range links(text) {
		if !slices.Contains(exempt, link) {
			return link
		}
	}
	return ""
}

// links yields, in plain form, the parts of text that phones turn into links: words with
// "://", words beginning with "www.", domains such as acme.com, and IP addresses such as
// 192.0.2.1. "St. Mary", "Dr.Oetker" and "A.B.Smith" are no links; "Mr.Green" is, since
// .green is a domain.
//
// Full-width letters and dots count as ASCII. The full stop of Chinese and Japanese (。) is
// a dot between two words in Latin letters: browsers open evil。com as evil.com. Elsewhere
// it ends a sentence without a following space.
func links(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if isASCII(text) && strings.IndexByte(text, '.') < 0 && !strings.Contains(text, "://") {
			return // most names; the rest takes microseconds
		}
		text := plain(text)
		found := address.FindAllString(text, -1)
		if strings.Contains(text, "://") {
			found = append(found, schemes(text)...)
		}
		for _, word := range strings.FieldsFunc(text, func(r rune) bool {
			return r != '.' && r != fullStop && r != '-' && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
		}) {
			for _, part := range sentences(word) {
				if isDomain(strings.Split(part, ".")) {
					found = append(found, strings.Trim(part, ".-"))
				}
			}
		}
		for _, link := range found {
			if !yield(link) {
				return
			}
		}
	}
}

// schemes returns the words of text with "://", without surrounding punctuation.
func schemes(text string) []string {
	var found []string
	for word := range strings.FieldsSeq(text) {
		if strings.Contains(word, "://") {
			found = append(found, strings.Trim(word, "()<>.,;!?\"'"))
		}
	}
	return found
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// fullStop is the full stop of Chinese and Japanese. plain maps its half-width form to it.
const fullStop = '。'

// sentences splits a word at full stops that cannot be part of a domain, and replaces the
// other full stops with dots.
func sentences(word string) []string {
	parts := strings.Split(word, string(fullStop))
	list := parts[:1]
	for _, part := range parts[1:] {
		last := len(list) - 1
		before := list[last][strings.LastIndexByte(list[last], '.')+1:]
		after, _, _ := strings.Cut(part, ".")
		if isLatin(before) && isLatin(after) {
			list[last] += "." + part
		} else {
			list = append(list, part)
		}
	}
	return list
}

// isLatin reports whether word consists of Latin letters, marks, digits and hyphens.
func isLatin(word string) bool {
	return word != "" && strings.IndexFunc(word, func(r rune) bool {
		return r != '-' && !unicode.In(r, unicode.Latin, unicode.M, unicode.N)
	}) < 0
}

// address matches an IP address, or a version number with four parts.
var address = regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+`)

// isDomain reports whether labels, joined by dots in the text, contain a domain.
func isDomain(labels []string) bool {
	for i, label := range labels {
		if i == 0 || labels[i-1] == "" {
			continue // no label before the dot
		}
		if labels[i-1] == "www" && label != "" || isTopLevel(strings.Trim(label, "-")) {
			return true
		}
	}
	return false
}

func isTopLevel(label string) bool {
	return len(label) > 1 && strings.Contains(topLevels, "\n"+label+"\n")
}

// plain returns the visual form of text: without differences of letter case, width and
// presentation, and without joiners. The full stop of Chinese and Japanese (。) is kept.
func plain(text string) string {
	text = cases.Fold().String(norm.NFKC.String(text))
	return strings.Map(func(r rune) rune {
		switch r {
		case zeroWidthJoiner, zeroWidthNonJoiner, emojiSelector:
			return -1
		}
		return r
	}, text)
}
