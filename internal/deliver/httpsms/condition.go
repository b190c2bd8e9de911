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

// verdict is the result of a condition for an answer. It is unclear if the answer is
// unreadable or lacks the value.
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
// A value may be in double quotes, with the escapes of JSON.
type condition struct {
	text   string // source text
	holds  func(answer) verdict
	source path // path of a json condition
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
		err = errors.New(`must begin with "http", "json" or "body"`)
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
			return nil, fmt.Errorf("%q is not an HTTP status or a range such as 200-299", item)
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
		return nil, nil, errors.New(`expected "==", "!=" or "in" and a value after the path, separated by spaces`)
	}
	var values []string
	switch operator {
	case "==", "!=":
		value, left, err := parseValue(operand, false)
		if err != nil {
			return nil, nil, err
		}
		if left != "" {
			return nil, nil, fmt.Errorf("unexpected %q after the value", left)
		}
		values = []string{value}
	case "in":
		if values, err = parseList(operand); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf(`unknown operator %q; use "==", "!=" or "in"`, operator)
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
			return nil, fmt.Errorf("expected a comma before %q", rest)
		}
	}
}

// parseValue parses the value at the start of s and returns it with the rest of s. In a
// list an unquoted value ends at a comma.
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
		return "", "", errors.New(`missing value; write an empty value as ""`)
	}
	if strings.Contains(value, `"`) {
		return "", "", fmt.Errorf("%s: quote inside an unquoted value", value)
	}
	return value, rest, nil
}

func parseContains(s string) (func(answer) verdict, error) {
	operator, operand, _ := strings.Cut(s, " ")
	if operator != "contains" {
		return nil, errors.New(`expected "contains" after "body"`)
	}
	text, left, err := parseValue(operand, false)
	if err != nil {
		return nil, err
	}
	if left != "" {
		return nil, fmt.Errorf("unexpected %q after the text", left)
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

// conditions is a conjunction of conditions.
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

// judge returns the verdict on all conditions and the condition that decided it.
func (cs conditions) judge(a answer) (verdict, condition) {
	result, decisive := yes, condition{}
	for _, c := range cs {
		if v := c.holds(a); v < result {
			result, decisive = v, c
		}
	}
	return result, decisive
}
