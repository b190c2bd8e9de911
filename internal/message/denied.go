package message

import (
	"strings"
	"unicode"
)

// Denied are names that an operator does not want in messages, such as those of
// banks, which only a swindler would ask for. The zero value denies none.
type Denied struct{ words []string }

// NewDenied makes a list of words, or of names of several words.
func NewDenied(words []string) Denied {
	var d Denied
	for _, word := range words {
		if word = spread(word); word != "  " {
			d.words = append(d.words, word)
		}
	}
	return d
}

// Find returns the first of the words that name contains as a separate word, in any
// letter case and width; in scripts without spaces between words, anywhere. It returns
// "" if name contains none.
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

// spread writes a text in plain words, with one space before and after each.
func spread(text string) string {
	return " " + strings.Join(strings.FieldsFunc(plain(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
	}), " ") + " "
}

// spaceless reports whether r is of a script that does not part words.
func spaceless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}
