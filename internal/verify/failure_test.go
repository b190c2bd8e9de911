package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/internal/verify"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	var f verify.Failures
	want := []verify.Failure{
		{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)"},
		{Carrier: "b", Error: "486 Busy Here", Attempt: 1},
		{Carrier: "b", Error: "486 Busy Here", Attempt: 2},
		{Carrier: "a", Error: "enquire_link: no response in time"},
		{Carrier: "c"},
		{Carrier: "c", Error: "401 Unauthorized", Text: "401 Unauthorized: wrong password", Attempt: 1},
		{Carrier: "d", Error: "x", Text: "no attempt"},
	}
	for range 2 { // each once
		for _, failure := range want {
			f = f.Add(failure)
		}
	}
	if !slices.Equal(f, want) {
		t.Errorf("got %+v, want %+v", f, want)
	}
	long := "two\nlines\r\x00\xff" + strings.Repeat("é", 200)
	got := verify.Failures(nil).Add(verify.Failure{Carrier: "a", Error: long, Text: long})
	if len(got) != 1 || got[0].Text != got[0].Error || len(got[0].Error) > 200 ||
		!strings.HasPrefix(got[0].Error, "two lines   éé") || strings.ToValidUTF8(got[0].Error, "") != got[0].Error {
		t.Errorf("got %+v", got)
	}
	f = nil
	for i := range 30 {
		before := slices.Clone(f)
		longer := f.Add(verify.Failure{Carrier: "a", Error: fmt.Sprint(i)})
		if other := f.Add(verify.Failure{Carrier: "b"}); longer[len(longer)-1] == other[len(other)-1] || !slices.Equal(f, before) {
			t.Fatalf("Add changed the list %+v", f)
		}
		f = longer
	}
	if len(f) != 10 || f[0].Error != "20" || f[9].Error != "29" {
		t.Errorf("of many, %+v are kept", f)
	}
}
