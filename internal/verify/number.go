package verify

import "strings"

// spelling is a numbering plan in which two international numbers reach one phone.
type spelling struct {
	given  string // prefix of the form that is only used for delivery
	digits int    // length of a number with the prefix given
	count  string // prefix of the canonical form
}

// spellings returns the table. Argentina: 9 after the calling code selects delivery as to a
// mobile; without it the number is that of a landline with the same subscriber. Benin:
// since November 2024 all numbers have 01 after the calling code, and carriers still
// deliver to the old form.
func spellings() [2]spelling {
	return [...]spelling{{"549", 13, "54"}, {"229", 11, "22901"}}
}

// NumberForms returns both forms of number, the canonical form first; they are equal unless
// the plan has two.
func NumberForms(number string) (canonical, other string) {
	canonical = CanonicalNumber(number)
	for _, s := range spellings() {
		if rest, ok := strings.CutPrefix(canonical, s.count); ok && len(s.given)+len(rest) == s.digits {
			return canonical, s.given + rest
		}
	}
	return canonical, canonical
}

// CanonicalNumber returns the number (E.164 digits) that caps, the block list and fraud
// rules use for number. Messages are still sent to number as requested. The canonical form
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
