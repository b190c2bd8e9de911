package apiv1

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// Every answer that writes itself must write what encoding/json would: with every
// field set to a text, and with every field empty.
func FuzzAppendJSON(f *testing.F) {
	for _, text := range []string{
		"", "0", "Acme", `a"b\c/d`, "\x00\x01\b\t\n\f\r\x1f\x7f", "<&>", "é확인🙂", "\u2028\u2029\ufffd", "\xff\xc3", "a\xe2\x80",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, answer := range []appender{
			startResponse{}, checkResponse{}, controlResponse{}, errorResponse{}, searchErrorResponse{}, searchResponse{},
			searchListResponse{}, checkItem{}, eventItem{},
		} {
			same(t, answer)
			same(t, filled(reflect.TypeOf(answer), text).Interface().(appender))
		}
	})
}

// filled makes a value whose texts are all text, and whose lists have two items.
func filled(typ reflect.Type, text string) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(typ, 2, 2))
		for i := range v.Len() {
			v.Index(i).Set(filled(typ.Elem(), text))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if typ.Field(i).Name != "XMLName" {
				v.Field(i).Set(filled(typ.Field(i).Type, text))
			}
		}
	}
	return v
}

func same(t *testing.T, answer appender) {
	t.Helper()
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer); err != nil {
		t.Fatal(err)
	}
	if got := answer.appendJSON(nil); string(got)+"\n" != want.String() {
		t.Errorf("%T: %s, want %s", answer, got, want.String())
	}
}
