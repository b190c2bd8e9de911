package httpsms

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"countersign/internal/deliver"
)

// answerError is the error of an answer that did not accept a message.
type answerError struct {
	status int
	text   string // answer and condition, such as `answered HTTP 400, and "http 200" does not hold`
	reason string // reason in the body, as " (…)", or ""
}

func (e *answerError) Error() string { return e.text + e.reason }

// Code returns the HTTP status with its name and the gateway's reason, for
// [deliver.Code].
func (e *answerError) Code() string {
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status))) + e.reason
}

// reasonFields returns the common names of fields with the reason of a refusal, in order
// of preference. Case, "_" and "-" are ignored in comparisons.
func reasonFields() []string {
	return []string{
		"code", "errorcode", "errcode", "statuscode", "status", "errortext", "errormessage",
		"message", "error", "reason", "detail", "description", "title", "statustext",
	}
}

const (
	maxReasons    = 3
	maxReasonText = 80 // octets
	maxReasonDeep = 4
)

// said returns the gateway's reason as " (…)", or "": the codes compared by conditions,
// then the values of reasonFields. sent is the request. Some gateways repeat the number
// and the text, so values that occur in the request are omitted, and digits in sentences
// are masked.
func (g *Gateway) said(a answer, sent string) string {
	var found []string
	add := func(name, value string) {
		if part := name + " is " + value; len(found) < maxReasons && !slices.Contains(found, part) {
			found = append(found, part)
		}
	}
	if !a.isJSON {
		if line := firstLine(a.body); line != "" && !echoes(sent, line) {
			return fmt.Sprintf(" (%s)", line)
		}
		return ""
	}
	for _, c := range slices.Concat(g.success, g.temporary) {
		if c.source == nil {
			continue
		}
		for _, l := range c.source.find(a.doc) {
			if !l.missing && isCode(l.text) {
				add(strings.Join(c.source, "."), l.text)
			}
		}
	}
	for _, name := range reasonFields() {
		walk(a.doc, name, "", maxReasonDeep, func(path, value string) {
			switch {
			case len(value) >= 4 && echoes(sent, value):
			case isCode(value):
				add(path, value)
			default:
				if text := deliver.Masked(value, maxReasonText); text != "" {
					add(path, text)
				}
			}
		})
	}
	if len(found) == 0 {
		return ""
	}
	return " (" + strings.Join(found, ", ") + ")"
}

// walk calls found with path and value for each string, number and Boolean in doc under
// the key name.
func walk(doc any, name, path string, deep int, found func(path, value string)) {
	switch v := doc.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			below := strings.TrimPrefix(path+"."+key, ".")
			if strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key)) == name && printableKey(below) {
				switch value := v[key].(type) {
				case map[string]any, []any, nil:
				default:
					found(below, fmt.Sprint(value))
				}
			}
			if deep > 0 {
				walk(v[key], name, below, deep-1, found)
			}
		}
	case []any:
		for _, element := range v[:min(len(v), 10)] {
			if deep > 0 {
				walk(element, name, path, deep-1, found)
			}
		}
	}
}

// printableKey reports whether the path of a value may be logged. It has no digits, since a
// gateway may use the phone number as a key.
func printableKey(path string) bool {
	return len(path) <= 60 && !strings.ContainsFunc(path, func(r rune) bool {
		return r != '.' && r != '_' && r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r))
	})
}

// echoes reports whether a value repeats a part of the request.
func echoes(sent, value string) bool { return strings.Contains(sent, value) }

// firstLine returns the first line of a plain text body, masked; "" for markup and JSON.
func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body[:min(len(body), 1024)])), "\n")
	if line = strings.TrimSpace(line); strings.HasPrefix(line, "<") || strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
		return ""
	}
	return deliver.Masked(line, maxReasonText)
}
