package apiv1_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// document is the published description of the API. Its response schemas are "one of" two
// schemas without required fields, so both always match; the test selects the intended schema.
type document struct{ *openapi3.T }

func loadDocument(t *testing.T) document {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("testdata/verify-v1-openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return document{doc}
}

// exception is a documented difference from the published document, based on the notes
// (spec/verify-v1.md).
type exception struct {
	schema, field, value string
	why                  string
}

func exceptions() []exception {
	const why = "The document allows only 101 and the words of a found verification, " +
		"but its own examples and the recordings (notes §4) have the common codes too."
	return []exception{
		{"searchErrorResponse", "status", "2", why},
		{"searchErrorResponse", "status", "3", why},
		{"searchErrorResponse", "status", "5", why},
		{"searchErrorResponse", "status", "18", "Of the older documentation, for more than ten request_ids (notes §4)."},
	}
}

// check compares a response with its schema. Unknown fields and exceptions without effect
// are errors.
func (d document) check(t *testing.T, sh shape, body string) {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatal(err)
	}
	if sh.schema == "" { // several verifications: the document has no schema for the list
		for _, item := range value["verification_requests"].([]any) {
			d.visit(t, "searchResponse", item.(map[string]any))
		}
		return
	}
	d.visit(t, sh.schema, value)
}

func (d document) visit(t *testing.T, name string, value map[string]any) {
	t.Helper()
	ref := d.Components.Schemas[name]
	if ref == nil {
		t.Fatalf("the document has no schema %s", name)
	}
	for field := range value {
		if ref.Value.Properties[field] == nil {
			t.Errorf("%s has no field %s", name, field)
		}
	}
	excused := map[string]bool{}
	for _, e := range exceptions() {
		if e.schema == name && value[e.field] == e.value {
			excused["/"+e.field] = true
		}
	}
	found := schemaErrors(ref.Value.VisitJSON(value, openapi3.MultiErrors()))
	for at, reason := range found {
		if !excused[at] {
			t.Errorf("%s%s: %s, in %v", name, at, reason, value)
		}
	}
	for at := range excused {
		if found[at] == "" {
			t.Errorf("%s%s needs no exception", name, at)
		}
	}
}

// schemaErrors returns the defects by path.
func schemaErrors(err error) map[string]string {
	found := map[string]string{}
	if err == nil {
		return found
	}
	all := openapi3.MultiError{err}
	if many, ok := errors.AsType[openapi3.MultiError](err); ok {
		all = many
	}
	for _, err := range all {
		if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
			found["/"+strings.Join(e.JSONPointer(), "/")] = e.Reason
		} else {
			found[""] = err.Error()
		}
	}
	return found
}

// TestDocumentExamples checks that the examples of the document have our fields, to
// detect a changed example.
func TestDocumentExamples(t *testing.T) {
	t.Parallel()
	doc := loadDocument(t)
	for path, want := range map[string][]string{
		"/{format}":         {startFields, errorFields, idErrorFields},
		"/check/{format}":   {"event_id request_id status price currency estimated_price_messages_sent", errorFields},
		"/control/{format}": {"status command", errorFields},
		"/search/{format}":  {searchFields, errorFields},
	} {
		op := doc.Paths.Value(path).Post
		if op == nil {
			op = doc.Paths.Value(path).Get
		}
		for name, example := range op.Responses.Value("200").Value.Content["application/json"].Examples {
			if !sameFields(example.Value.Value.(map[string]any), want) {
				t.Errorf("%s %s has other fields than each of %q", path, name, want)
			}
		}
	}
}

func sameFields(value map[string]any, sets []string) bool {
	for _, set := range sets {
		names := strings.Fields(set)
		fits := len(names) == len(value)
		for _, name := range names {
			_, ok := value[name]
			fits = fits && ok
		}
		if fits {
			return true
		}
	}
	return false
}
