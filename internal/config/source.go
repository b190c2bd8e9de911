package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is an unreadable or invalid setting.
type Problem struct {
	Key    string // such as carriers[2].smpp.system_id; the name of the variable if its value is unreadable
	Reason error

	place string // "countersign.yaml:31" or a variable; "" if unknown
	line  int    // line of the file; 0 if unknown
}

// Error returns place, key and reason.
func (p *Problem) Error() string {
	text := p.Reason.Error()
	if p.Key != "" {
		text = p.Key + ": " + text
	}
	if p.place != "" {
		text = p.place + ": " + text
	}
	return text
}

// Unwrap returns the reason.
func (p *Problem) Unwrap() error { return p.Reason }

func problem(key, format string, args ...any) error {
	return &Problem{Key: key, Reason: fmt.Errorf(format, args...)}
}

// Sources records the place of each setting from the file or a variable.
type Sources struct {
	file      string
	lines     map[string]int    // line in the file, by key
	variables map[string]string // name of the variable, by key
}

// Locate adds the place of the setting to each [Problem] of an error from
// [Config.Validate], and sorts the problems by line. A missing setting has the place of
// the surrounding mapping.
func (s Sources) Locate(err error) error {
	all := problemsOf(err)
	if len(all) == 0 {
		return err
	}
	located := make([]*Problem, len(all))
	for i, p := range all {
		located[i] = s.locate(*p)
	}
	return sorted(located)
}

func (s Sources) locate(p Problem) *Problem {
	if p.place != "" {
		return &p
	}
	for key := p.Key; key != ""; key = parent(key) {
		if name, ok := s.variables[key]; ok {
			p.place = name
			return &p
		}
	}
	for key := p.Key; key != ""; key = parent(key) {
		if line, ok := s.lines[key]; ok {
			p.place, p.line = s.file+":"+strconv.Itoa(line), line
			return &p
		}
	}
	return &p
}

// Place returns the place of a setting: "countersign.yaml:31" or the name of a variable;
// "" if it has its default.
func (s Sources) Place(key string) string {
	if !s.sets(key) {
		return ""
	}
	return s.locate(Problem{Key: key}).place
}

// sets reports whether the file or a variable contains exactly this key.
func (s Sources) sets(key string) bool {
	_, inFile := s.lines[key]
	_, inVariable := s.variables[key]
	return inFile || inVariable
}

// parent returns the key of the surrounding mapping or list; "" at the top level.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// sorted joins problems: those with a line by line, then the others in the given order.
func sorted(all []*Problem) error {
	slices.SortStableFunc(all, func(a, b *Problem) int {
		switch {
		case a.line == b.line:
			return 0
		case a.line == 0 || b.line != 0 && b.line < a.line:
			return 1
		}
		return -1
	})
	errs := make([]error, len(all))
	for i, p := range all {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// problemsOf returns the problems joined in an error; nil if it has any other part.
func problemsOf(err error) []*Problem {
	if p, ok := err.(*Problem); ok { //nolint:errorlint // a wrapped Problem has additional text
		return []*Problem{p}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var all []*Problem
	for _, part := range joined.Unwrap() {
		some := problemsOf(part)
		if some == nil {
			return nil
		}
		all = append(all, some...)
	}
	return all
}

// linesOf records the line of each key and list entry below a node.
func linesOf(n *yaml.Node, key string, lines map[string]int) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			path := n.Content[i].Value
			if key != "" {
				path = key + "." + path
			}
			lines[path] = n.Content[i].Line // a repeated key has its last line
			linesOf(n.Content[i+1], path, lines)
		}
	case yaml.SequenceNode:
		for i, element := range n.Content {
			path := index(key, i)
			lines[path] = element.Line
			linesOf(element, path, lines)
		}
	}
}

var (
	yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)
	// parserFault matches errors of the library's parser, which counts lines from 0.
	parserFault = regexp.MustCompile(`did not find expected (node content|key|'-' indicator|',' or '[]}]'|<document start>)$`)
)

// syntax returns the problem of invalid YAML. The line is in the library's error text.
func syntax(file string, err error) *Problem {
	text := err.Error()
	at := yamlLine.FindStringSubmatch(text)
	if at == nil {
		return &Problem{Reason: err, place: file}
	}
	line, _ := strconv.Atoi(at[1]) // only digits
	if parserFault.MatchString(text) {
		line++
	}
	return &Problem{Reason: errors.New("yaml: " + text[len(at[0]):]), place: file + ":" + strconv.Itoa(line), line: line}
}
