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
	if got := f.List(); len(got) != 0 {
		t.Errorf("the zero value lists %v", got)
	}
	want := []verify.Failure{
		{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)"},
		{Carrier: "b", Error: "486 Busy Here", Attempt: 1},
		{Carrier: "b", Error: "486 Busy Here", Attempt: 2},
		{Carrier: "a", Error: "enquire_link: no response in time"}, // has the separator
		{Carrier: "c"},
		{Carrier: "c", Error: "401 Unauthorized", Text: "401 Unauthorized: wrong password", Attempt: 1},
		{Carrier: "d", Error: "x", Text: "no attempt"},
	}
	for range 2 { // each once
		for _, failure := range want {
			f = f.Add(failure)
		}
	}
	if got := f.List(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := verify.Failures("").Add(verify.Failure{Carrier: "a", Error: "two\nlines\r\x00\xff" + strings.Repeat("é", 200)}).List(); len(got) != 1 ||
		len(got[0].Error) > 200 || !strings.HasPrefix(got[0].Error, "two lines   éé") || strings.ToValidUTF8(got[0].Error, "") != got[0].Error {
		t.Errorf("got %+v", got)
	}
	for want, failure := range map[verify.Failures]verify.Failure{ // as stored
		"a: x":         {Carrier: "a", Error: "x"},
		"a: x\t2":      {Carrier: "a", Error: "x", Attempt: 2},
		"a: x\t0\twhy": {Carrier: "a", Error: "x", Text: "why"},
	} {
		if got := verify.Failures("").Add(failure); got != want {
			t.Errorf("%+v is encoded as %q, want %q", failure, got, want)
		}
	}
	f = ""
	for i := range 30 {
		f = f.Add(verify.Failure{Carrier: "a", Error: fmt.Sprint(i)})
	}
	if got := f.List(); len(got) != 10 || got[0].Error != "20" || got[9].Error != "29" {
		t.Errorf("of many, %+v are kept", got)
	}
}
