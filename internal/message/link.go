package message

import (
	_ "embed"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// topLevels are the top-level domains of the internet, one a line, in Unicode and
// as the DNS writes them (xn--…); "#" begins a remark.
//
//go:embed tlds.txt
var topLevels string

// hasLink reports whether a phone would make a link of something in text: what has
// "://" or begins with "www.", a dot between words of which the second is a top-level
// domain, as in acme.com, and four numbers with dots, as in 192.0.2.1. The phones'
// own rule is the same, which is why "St. Mary", "Dr.Oetker" and "A.B.Smith" pass
// and "Mr.Green" does not: .green is a domain.
//
// Full-width letters and dots are taken for what they look like.
func hasLink(text string) bool {
	text = plain(text)
	if strings.Contains(text, "://") {
		return true
	}
	if address.MatchString(text) {
		return true
	}
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
	})
	for _, word := range words {
		if isDomain(strings.Split(word, ".")) {
			return true
		}
	}
	return false
}

// address matches an IP address, or the version of something that has four parts.
var address = regexp.MustCompile(`[0-9]\.[0-9]+\.[0-9]+\.[0-9]`)

// isDomain reports whether labels, which a text has joined by dots, hold a domain.
func isDomain(labels []string) bool {
	for i, label := range labels {
		if i == 0 || labels[i-1] == "" {
			continue // nothing before the dot
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

// plain is text as it looks at a glance: without regard to letter case, width and
// presentation, nor to joiners. The full stop of Chinese and Japanese (。) stays one:
// no space follows it, and no phone takes it for the dot of a domain.
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
