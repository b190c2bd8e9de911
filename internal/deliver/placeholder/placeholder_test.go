package placeholder_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/placeholder"
	"countersign/internal/verify"
)

func TestRender(t *testing.T) {
	t.Parallel()
	m := deliver.Message{
		EventID: verify.ID{1}, RequestID: verify.ID{2}, Attempt: 2, To: verify.PhoneAddress("447700900001", ""), From: "Acme", Text: "hi",
		Values: map[string]string{"entity_id": "1701"},
	}
	v := placeholder.Of(m, 90*time.Second+time.Millisecond)
	for in, want := range map[string]string{
		"":                                      "",
		"no placeholder":                        "no placeholder",
		"{{.To}} {{.From}}: {{.Text}}":          "447700900001 Acme: hi",
		"{{ .EventID }}/{{.RequestID}}":         m.EventID.String() + "/" + m.RequestID.String(),
		"{{.Attempt}},{{.ValidSeconds}}":        "2,90",
		"{{.Values.entity_id}}{{.Values.none}}": "1701",
	} {
		text, err := placeholder.Parse(in, func(string) placeholder.Escape {
			return func(s string) (string, error) { return s, nil }
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := text.Render(v); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	if got := placeholder.Of(m, 0)["ValidSeconds"]; got != "1" {
		t.Errorf("ValidSeconds %s, want 1 at least", got)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"{{.To":                 "not closed",
		"{{To}}":                "unknown placeholder {{To}}",
		"{{.Values}}":           "use .To, ",
		"{{.Values.}}":          ".Values.NAME",
		"{{.Values.Entity-ID}}": "unknown placeholder {{.Values.Entity-ID}}",
	} {
		if _, err := placeholder.Parse(in, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// TestEscape: each position has its escape. An error has the name of the placeholder but
// not its value.
func TestEscape(t *testing.T) {
	t.Parallel()
	text, err := placeholder.Parse("a={{.From}}&b={{.Text}}", func(before string) placeholder.Escape {
		return func(s string) (string, error) {
			if s == "bad" {
				return "", errors.New("is bad here")
			}
			return strings.ToUpper(before + s), nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := text.Render(placeholder.Values{"From": "x", "Text": "y"}); got != "a=A=X&b=A={{.FROM}}&B=Y" {
		t.Errorf("%q", got)
	}
	if _, err := text.Render(placeholder.Values{"Text": "bad"}); err == nil || err.Error() != "Text is bad here" {
		t.Errorf("error %v", err)
	}
	if got := text.Fields(); !reflect.DeepEqual(got, []string{"From", "Text"}) {
		t.Errorf("fields %q", got)
	}
	var seen []string
	text.Literals(func(literal, next string) { seen = append(seen, literal+"|"+next) })
	if want := []string{"a=|From", "&b=|Text"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("literals %q, want %q", seen, want)
	}
}
