package message

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// minutes has the words for a number of minutes, such as "5 minutes", in a language.
type minutes struct {
	language language.Tag
	numbers  map[int]template // for single numbers; precede the forms
	forms    map[plural.Form]template
}

func newMinutes(tag language.Tag) minutes {
	return minutes{language: tag, numbers: map[int]template{}, forms: map[plural.Form]template{}}
}

func (m minutes) clone() minutes {
	m.numbers, m.forms = maps.Clone(m.numbers), maps.Clone(m.forms)
	return m
}

// of returns the words for n minutes.
func (m minutes) of(n int) template {
	if t, ok := m.numbers[n]; ok {
		return t
	}
	return m.forms[plural.Cardinal.MatchPlural(m.language, n, 0, 0, 0, 0)]
}

// add sets texts by the name of a plural form or by a number, "=5". It returns an error
// unless every number up to longestMinutes has a text.
func (m minutes) add(texts map[string]string) error {
	for name, text := range texts {
		t, err := parseTemplate(text, map[variable]bool{varExpiry: true})
		if err != nil {
			return err
		}
		if number, ok := strings.CutPrefix(name, "="); ok {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > longestMinutes {
				return fmt.Errorf("%q is not a number from 1 to %d", number, longestMinutes)
			}
			m.numbers[n] = t
			continue
		}
		form, ok := pluralForm(name)
		if !ok {
			return fmt.Errorf("unknown plural form %q", name)
		}
		m.forms[form] = t
	}
	for n := 1; n <= longestMinutes; n++ {
		if len(m.of(n)) == 0 {
			return fmt.Errorf("no word for %d", n)
		}
	}
	return nil
}
