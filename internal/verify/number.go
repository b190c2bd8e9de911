package verify

import "strings"

// spelling is a plan in which one phone answers to two international numbers.
type spelling struct {
	given  string // prefix of the number as it may be sent to
	digits int    // length of given with the rest
	count  string // prefix that replaces given for counting
}

// spellings lists them. Argentina: 9 behind the calling code asks for delivery as to a
// mobile; without it the same subscriber is reached as a landline. Benin: since
// November 2024 all numbers have 01 behind the calling code, and carriers still deliver
// to the old form.
func spellings() [2]spelling {
	return [...]spelling{{"549", 13, "54"}, {"229", 11, "22901"}}
}

// NumberForms returns both forms of number, the canonical one first; they are equal
// unless its plan has two.
func NumberForms(number string) (canonical, other string) {
	canonical = CanonicalNumber(number)
	for _, s := range spellings() {
		if rest, ok := strings.CutPrefix(canonical, s.count); ok && len(s.given)+len(rest) == s.digits {
			return canonical, s.given + rest
		}
	}
	return canonical, canonical
}

// CanonicalNumber returns the number (E.164 digits) under which caps, the block list
// and fraud rules count number. Messages still go to number as requested. The canonical form
// of another kind of address is returned unchanged, even if it begins with such a prefix.
func CanonicalNumber(number string) string {
	if strings.Trim(number, "0123456789") != "" {
		return number
	}
	for _, s := range spellings() {
		if rest, ok := strings.CutPrefix(number, s.given); ok && len(number) == s.digits {
			return s.count + rest
		}
	}
	return number
}
