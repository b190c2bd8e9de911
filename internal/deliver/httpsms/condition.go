package httpsms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// verdict is whether a condition holds for an answer. An answer that cannot be read,
// or that lacks what the condition is about, leaves it unclear.
type verdict int

const (
	no verdict = iota
	unclear
	yes
)

// condition is one line of "success" or "temporary":
//
//	http 200-299,304
//	json PATH == VALUE
//	json PATH != VALUE
//	json PATH in VALUE,VALUE
//	body contains TEXT
//
// A value may be put into double quotes, with the escapes of JSON.
type condition struct {
	text   string // as it was written
	holds  func(answer) verdict
	source path // of a json condition: what it looks at
}

func parseCondition(line string) (condition, error) {
	c := condition{text: strings.TrimSpace(line)}
	word, rest, _ := strings.Cut(c.text, " ")
	rest = strings.TrimSpace(rest)
	var err error
	switch word {
	case "http":
		c.holds, err = parseStatuses(rest)
	case "json":
		c.source, c.holds, err = parseComparison(rest)
	case "body":
		c.holds, err = parseContains(rest)
	default:
		err = errors.New(`a condition begins with "http", "json" or "body"`)
	}
	if err != nil {
		return condition{}, fmt.Errorf("%q: %w", c.text, err)
	}
	return c, nil
}

func parseStatuses(s string) (func(answer) verdict, error) {
	type span struct{ from, to int }
	var spans []span
	for item := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("%q is neither an HTTP status nor a range of them, such as 200-299", item)
		}
		spans = append(spans, span{from, to})
	}
	return func(a answer) verdict {
		return verdictOf(slices.ContainsFunc(spans, func(s span) bool { return s.from <= a.status && a.status <= s.to }))
	}, nil
}

func parseComparison(s string) (path, func(answer) verdict, error) {
	where, rest, _ := strings.Cut(s, " ")
	p, err := parsePath(where)
	if err != nil {
		return nil, nil, err
	}
	operator, operand, found := strings.Cut(strings.TrimSpace(rest), " ")
	if !found {
		return nil, nil, errors.New(`after the path stand "==", "!=" or "in" and a value, with spaces between`)
	}
	var values []string
	switch operator {
	case "==", "!=":
		value, left, err := parseValue(operand, false)
		if err != nil {
			return nil, nil, err
		}
		if left != "" {
			return nil, nil, fmt.Errorf("%q after the value", left)
		}
		values = []string{value}
	case "in":
		if values, err = parseList(operand); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf(`%q is none of "==", "!=" and "in"`, operator)
	}
	return p, func(a answer) verdict { return a.compare(p, values, operator == "!=") }, nil
}

func parseList(s string) ([]string, error) {
	var values []string
	for {
		value, rest, err := parseValue(s, true)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if rest == "" {
			return values, nil
		}
		var comma bool
		if s, comma = strings.CutPrefix(rest, ","); !comma {
			return nil, fmt.Errorf("%q after a value, where a comma must stand", rest)
		}
	}
}

// parseValue reads the value at the start of s and gives what stands after it. In a
// list a bare value ends at a comma.
func parseValue(s string, list bool) (value, rest string, err error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, `"`) {
		decoder := json.NewDecoder(strings.NewReader(s))
		if err := decoder.Decode(&value); err != nil {
			return "", "", fmt.Errorf("%s is not a quoted value: %w", s, err)
		}
		return value, strings.TrimSpace(s[decoder.InputOffset():]), nil
	}
	value = s
	if i := strings.IndexByte(s, ','); list && i >= 0 {
		value, rest = strings.TrimSpace(s[:i]), s[i:]
	}
	if value == "" {
		return "", "", errors.New(`a value is missing; an empty one is written ""`)
	}
	if strings.Contains(value, `"`) {
		return "", "", fmt.Errorf("%s: a quote inside a value without quotes around it", value)
	}
	return value, rest, nil
}

func parseContains(s string) (func(answer) verdict, error) {
	operator, operand, _ := strings.Cut(s, " ")
	if operator != "contains" {
		return nil, errors.New(`after "body" stands "contains"`)
	}
	text, left, err := parseValue(operand, false)
	if err != nil {
		return nil, err
	}
	if left != "" {
		return nil, fmt.Errorf("%q after the text", left)
	}
	if text == "" {
		return nil, errors.New("every answer contains an empty text")
	}
	return func(a answer) verdict {
		switch {
		case bytes.Contains(a.body, []byte(text)):
			return yes
		case a.cut:
			return unclear
		default:
			return no
		}
	}, nil
}

func verdictOf(holds bool) verdict {
	if holds {
		return yes
	}
	return no
}

// conditions hold when all of them do.
type conditions []condition

func parseConditions(setting string, lines []string) (conditions, error) {
	all := make(conditions, 0, len(lines))
	for i, line := range lines {
		c, err := parseCondition(line)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", setting, i, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// judge gives the verdict on all conditions, and the one that decided it.
func (cs conditions) judge(a answer) (verdict, condition) {
	result, decisive := yes, condition{}
	for _, c := range cs {
		if v := c.holds(a); v < result {
			result, decisive = v, c
		}
	}
	return result, decisive
}
