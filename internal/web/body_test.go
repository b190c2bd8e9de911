package web_test

import (
	"testing"

	"countersign/internal/web"
)

func TestMediaType(t *testing.T) {
	t.Parallel()
	const (
		jsonType = "application/json"
		formType = "application/x-www-form-urlencoded"
	)
	for header, want := range map[string]string{
		jsonType:                                   jsonType,
		"application/json; utf-8":                  jsonType,
		"application/json;utf-8":                   jsonType,
		"application/json; charset=":               jsonType,
		"application/json; charset=utf-8":          jsonType,
		"application/json; charset=\"utf-8":        jsonType,
		"application/json; charset=a; charset=b":   jsonType,
		"application/json;":                        jsonType,
		"application/json ; x":                     jsonType,
		"application/json;;;":                      jsonType,
		"application/json, charset=utf-8":          jsonType,
		"application/json charset=utf-8":           jsonType,
		"Application/JSON; Charset=UTF-8":          jsonType,
		" application/json\t":                      jsonType,
		"application/x-www-form-urlencoded; UTF-8": formType,
		"application/x-www-form-urlencoded; =":     formType,
		"APPLICATION/X-WWW-FORM-URLENCODED":        formType,
		"text/plain; application/json":             "text/plain",
		"application/jsonp":                        "application/jsonp",
		"":                                         "", ";": "", "; charset=": "", "; charset=utf-8": "", " ": "", ",": "",
	} {
		if got := web.MediaType(header); got != want {
			t.Errorf("MediaType(%q) = %q, want %q", header, got, want)
		}
	}
}

func TestTrimBOM(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"\ufeff{}": "{}", "{}": "{}", "": "", "\ufeff": "", "\ufeff\ufeff{}": "\ufeff{}", "\xef\xbb": "\xef\xbb"} {
		if got := string(web.TrimBOM([]byte(body))); got != want {
			t.Errorf("TrimBOM(%q) = %q, want %q", body, got, want)
		}
	}
}
