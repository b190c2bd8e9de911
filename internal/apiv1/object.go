package apiv1

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"countersign/internal/verify"
)

// parseJSON parses a JSON object. A parameter is text or a number; null counts as absent,
// and request_ids may be an array. Members that are not in known may have any type: text,
// numbers, true and false become parameters, which only a signature covers; objects and
// arrays are ignored. numbers is as for [readParams].
func parseJSON(body []byte, known []string) (p params, numbers []string, err error) {
	if !utf8.Valid(body) {
		return nil, nil, verify.Invalid("body", reasonNotUTF8)
	}
	// Parsing by token detects a repeated name; Unmarshal would use the last value.
	// encoding/json limits the nesting depth.
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // keep "amount":48.10 as text, not float
	switch t, err := dec.Token(); {
	case err != nil:
		return nil, nil, notJSON(err)
	case t != json.Delim('{'):
		return nil, nil, verify.Invalid("body", "not a JSON object")
	}
	p = params{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, nil, notJSON(err)
		}
		name := t.(string) // names are strings in valid JSON
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, nil, notJSON(err)
		}
		if _, again := p[name]; again {
			return nil, nil, invalidName(name, "given more than once")
		}
		if len(p) == maxParams {
			return nil, nil, verify.Invalid("body", reasonTooMany)
		}
		if p[name], err = parseMember(name, raw, slices.Contains(known, name)); err != nil {
			return nil, nil, err
		}
		if name != listParam && isNumber(raw) && bytes.ContainsAny(raw, ".eE") {
			numbers = append(numbers, name)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, notJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, verify.Invalid("body", "text after the JSON object")
	}
	for name, values := range p {
		if len(values) == 0 { // null, an empty list, or an ignored member
			delete(p, name)
		}
	}
	return p, numbers, nil
}

// notJSON returns the refusal for an error of the decoder.
func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return verify.Invalid("body", "not JSON: "+reasonCutOff)
	}
	return verify.Invalid("body", "not JSON: "+err.Error())
}

// parseMember returns the values of a member of the object; empty if it is ignored.
func parseMember(name string, raw json.RawMessage, known bool) ([]string, error) {
	if raw[0] == '[' && name == listParam && known {
		return parseList(name, raw)
	}
	switch raw[0] {
	case 'n':
		return nil, nil
	case '{', '[', 't', 'f':
		if known {
			return nil, invalidName(name, "a JSON "+typeOf(raw)+" in place of text")
		}
		if raw[0] == '{' || raw[0] == '[' {
			return nil, nil
		}
	}
	return []string{scalar(raw)}, nil
}

func parseList(name string, raw json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, invalidName(name, "not a JSON array of ids")
	}
	var values []string
	for _, item := range list {
		if item[0] != '"' && !isNumber(item) {
			return nil, invalidName(name, "a JSON "+typeOf(item)+" in place of an id")
		}
		values = append(values, scalar(item))
	}
	return values, nil
}

// scalar returns a JSON string without its quotes, and other values unchanged.
func scalar(raw json.RawMessage) string {
	if raw[0] != '"' {
		return string(raw)
	}
	var text string
	_ = json.Unmarshal(raw, &text) // the decoder has checked the syntax
	return text
}

func isNumber(raw json.RawMessage) bool { return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' }

// typeOf returns the JSON type of a value that is neither text nor a number.
func typeOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case 'n':
		return "null"
	}
	return "boolean"
}

// numberValue returns the value of a JSON number as text: 6.0 and 6e0 are 6, and
// 0.30000000000000004, computed in binary floating point by a client, is 0.3. A number
// that is neither whole nor close to two decimals is returned unchanged.
func numberValue(text string) string {
	const (
		relative = 1e-9 // largest rounding error relative to the number
		absolute = 1e-5 // largest absolute rounding error, so that decimals of large numbers are kept
		exact    = 1e15 // upper bound of converted numbers; larger ones have no exact decimals
	)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Signbit(f) || f >= exact {
		return text
	}
	rounded := math.Round(f*100) / 100
	if math.Abs(f-rounded) > min(relative*f, absolute) {
		return text
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
