package apiv1

import (
	"fmt"
	"net/url"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzPlain sees that the short ways of reading a body read what the long ways do.
func FuzzPlain(f *testing.F) {
	for _, body := range []string{
		startJSON, `{"a":"확","b":0,"c":12,"d":""}`, `{"a":01}`, `{"a":1.5,"b":-1,"c":1e3}`, `{"a":"\u0041"}`, `{"a":null}`, `{"a":1,"a":2}`,
		` { "a" : "b" , "c" : 1 } `, `{}`, `{"a":1,}`, `{"a":1}}`, `{"a":"` + "\n" + `"}`, `{"request_ids":["a"]}`, `{"a":true}`, `{"a":{"b":1},"c":6.0}`, `{"request_ids":"a"}`, `{"a":[1]}`,
		`{"a`, `{"a":`, `{"a":1`, "", "[]", `{"a":12x}`,
		startForm, "a=1&a=2&a=3&b=%41+c&&=x&y&z=", "a=%zz", "%zz=1", "a;b=1", "a=1;b", "a==&=",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		want, werr := url.ParseQuery(body)
		got, err := parseForm(body)
		if (err == nil) != (werr == nil) || err == nil && fmt.Sprint(got) != fmt.Sprint(params(want)) {
			t.Errorf("form %q: %v, %v; want %v, %v", body, got, err, want, werr)
		}
		if !utf8.ValidString(body) {
			return
		}
		plain, ok := parsePlainJSON(body)
		if !ok {
			return
		}
		if whole, _, err := parseAnyJSON([]byte(body), nil); err != nil || !reflect.DeepEqual(plain, whole) {
			t.Errorf("JSON %q: %v; want %v, %v", body, plain, whole, err)
		}
	})
}
