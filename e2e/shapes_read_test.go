package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The readers below read an answer as the SDK of that name does: they use the same fields,
// the same strictness, and the same definition of an error. Each returns the fields by their
// names on the wire.

// decode reads a JSON object. No SDK accepts a number, a Boolean or null as a value.
func decode(a answer) (fields, error) {
	var object fields
	if err := json.Unmarshal(a.body, &object); err != nil {
		return nil, err
	}
	return object, onlyStrings(object)
}

func onlyStrings(object fields) error {
	for name, value := range object {
		switch value := value.(type) {
		case string:
		case []any:
			for _, item := range value {
				inner, ok := item.(map[string]any)
				if !ok {
					return fmt.Errorf("%s contains %v, want an object", name, item)
				}
				if err := onlyStrings(inner); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%s is not a string: %v", name, value)
		}
	}
	return nil
}

func (f fields) refusal() error {
	status, _ := f["status"].(string)
	text, _ := f["error_text"].(string)
	return &refusal{status, text}
}

// needs returns an error for the first missing name.
func (f fields) needs(names ...string) error {
	for _, name := range names {
		if _, ok := f[name]; !ok {
			return fmt.Errorf("no %s", name)
		}
	}
	return nil
}

// readNode parses JSON only with the exact media type application/json.
func readNode(call string, a answer) (fields, error) {
	if a.contentType != "application/json" {
		return nil, fmt.Errorf("media type %s, want application/json", a.contentType)
	}
	return readPython(call, a)
}

// readPython leaves the status to its caller, which compares it as a number. The status of a
// search is a word, unless the search failed.
func readPython(call string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	if call == "search" {
		if _, failed := f["error_text"]; failed {
			return nil, f.refusal()
		}
		return f, nil
	}
	status, _ := f["status"].(string)
	code, err := strconv.Atoi(status)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, f.refusal()
	}
	return f, nil
}

// readPython4 creates objects without optional fields.
func readPython4(call string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	if _, failed := f["error_text"]; failed {
		return nil, f.refusal()
	}
	switch call {
	case "start":
		err = f.needs("request_id", "status")
	case "check":
		err = f.needs("request_id", "status", "event_id", "price", "currency")
	case "control":
		err = f.needs("status", "command")
	}
	return f, err
}

// readRuby raises an error for any answer with an error_text.
func readRuby(_ string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	if _, failed := f["error_text"]; failed {
		return nil, f.refusal()
	}
	return f, nil
}

// readPHP accepts the words of a search, compares '0' as a string, and requires an error_text
// with any other status.
func readPHP(_ string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	if err := f.needs("status"); err != nil {
		return nil, err
	}
	switch f["status"] {
	case "0", "IN PROGRESS", "SUCCESS", "FAILED", "EXPIRED", "CANCELLED":
	default:
		if err := f.needs("error_text"); err != nil {
			return nil, err
		}
		return nil, f.refusal()
	}
	checks, _ := f["checks"].([]any)
	for _, check := range checks {
		object, _ := check.(map[string]any)
		if err := fields(object).needs("code", "date_received", "status"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// readJava maps the status to an enumeration by number, and the status of a search by word. Prices
// are decimals, and dates have one format.
func readJava(call string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	if call == "search" {
		return readJavaSearch(f)
	}
	if err := f.needs("status"); err != nil {
		return nil, err
	}
	if err := f.decimals("price", "estimated_price_messages_sent"); err != nil {
		return nil, err
	}
	status, _ := f["status"].(string)
	if code, err := strconv.Atoi(status); err != nil {
		return nil, err
	} else if code != 0 {
		return nil, f.refusal()
	}
	return f, nil
}

func readJavaSearch(f fields) (fields, error) {
	if _, failed := f["error_text"]; failed {
		return nil, f.refusal()
	}
	requests := []any{map[string]any(f)}
	if several, ok := f["verification_requests"].([]any); ok {
		requests = several
	}
	for _, request := range requests {
		object, _ := request.(map[string]any)
		if err := fields(object).dates("date_submitted", "date_finalized", "first_event_date", "last_event_date"); err != nil {
			return nil, err
		}
		if err := fields(object).decimals("price", "estimated_price_messages_sent"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f fields) decimals(names ...string) error {
	for _, name := range names {
		text, given := f[name].(string)
		if _, ok := new(big.Rat).SetString(text); given && !ok {
			return fmt.Errorf("%s is not a decimal: %s", name, text)
		}
	}
	return nil
}

func (f fields) dates(names ...string) error {
	for _, name := range names {
		text, _ := f[name].(string)
		if text == "" {
			continue // has not happened yet
		}
		if _, err := time.Parse(time.DateTime, text); err != nil {
			return err
		}
	}
	return nil
}

// readDotnet decodes into objects of strings, and throws unless the status is "0". It does not
// validate a search.
func readDotnet(call string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	_, failed := f["error_text"]
	if call != "search" && f["status"] != "0" || failed {
		return nil, f.refusal()
	}
	return f, nil
}

// readGo treats a search without request_id as an error, and uses the status otherwise.
func readGo(call string, a answer) (fields, error) {
	f, err := decode(a)
	if err != nil {
		return nil, err
	}
	id, _ := f["request_id"].(string)
	if call == "search" && id == "" || call != "search" && f["status"] != "0" {
		return nil, f.refusal()
	}
	return f, nil
}

// element is any XML element.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

// readJava2 reads XML by the names of the root and its children.
func readJava2(call string, a answer) (fields, error) {
	if a.contentType != "text/xml" {
		return nil, fmt.Errorf("got %s, want text/xml", a.contentType)
	}
	var root element
	if err := xml.NewDecoder(bytes.NewReader(a.body)).Decode(&root); err != nil {
		return nil, err
	}
	roots := map[string][]string{
		"start":   {"verify_response"},
		"check":   {"verify_response"},
		"control": {"response"},
		"search":  {"verify_request", "verification_requests", "verify_response"},
	}
	if name := root.XMLName.Local; !slices.Contains(roots[call], name) {
		return nil, fmt.Errorf("unexpected root %s", name)
	}
	if root.XMLName.Local == "verification_requests" {
		return fields{"verification_requests": root.objects()}, nil
	}
	f := root.fields()
	if err := f.needs("status"); err != nil {
		return nil, err
	}
	if root.XMLName.Local == "verify_request" {
		return f, errors.Join(f.dates("date_submitted", "date_finalized", "first_event_date", "last_event_date"), f.decimals("price"))
	}
	if f["status"] != "0" {
		return nil, f.refusal()
	}
	return f, f.decimals("price")
}

// fields returns the children of e; checks and events become lists.
func (e element) fields() fields {
	f := make(fields)
	for _, child := range e.Children {
		switch child.XMLName.Local {
		case "checks", "events":
			f[child.XMLName.Local] = child.objects()
		default:
			f[child.XMLName.Local] = strings.TrimSpace(child.Text)
		}
	}
	return f
}

func (e element) objects() []any {
	list := make([]any, len(e.Children))
	for i, child := range e.Children {
		list[i] = map[string]any(child.fields())
	}
	return list
}
