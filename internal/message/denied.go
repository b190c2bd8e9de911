package message

import (
	"strings"
	"unicode"
)

// Denied is a list of names excluded from messages, such as names of banks, to prevent
// phishing. The zero value excludes no names.
type Denied struct{ words []string }

// NewDenied makes a list of names of one or several words.
func NewDenied(words []string) Denied {
	var d Denied
	for _, word := range words {
		if word = spread(word); word != "  " {
			d.words = append(d.words, word)
		}
	}
	return d
}

// Find returns the first denied name that occurs in name as separate words, in any letter
// case and width; in scripts without spaces between words, at any position. It returns ""
// if name contains no denied name.
func (d Denied) Find(name string) string {
	if len(d.words) == 0 {
		return ""
	}
	name = spread(name)
	for _, word := range d.words {
		bare := strings.TrimSpace(word)
		if strings.ContainsFunc(word, spaceless) {
			word = bare
		}
		if strings.Contains(name, word) {
			return bare
		}
	}
	return ""
}

// spread returns the plain words of text with one space before and after each.
func spread(text string) string {
	return " " + strings.Join(strings.FieldsFunc(plain(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
	}), " ") + " "
}

// spaceless reports whether the script of r has no spaces between words.
func spaceless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}
