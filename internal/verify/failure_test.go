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
		{"a", "ESME_RINVDSTADR (0x0B)"},
		{"b", "486 Busy Here"},
		{"a", "enquire_link: no response in time"}, // has the separator
		{"c", ""},
	}
	for range 2 { // each once
		for _, failure := range want {
			f = f.Add(failure)
		}
	}
	if got := f.List(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := verify.Failures("").Add(verify.Failure{"a", "two\nlines\r\x00\xff" + strings.Repeat("é", 200)}).List(); len(got) != 1 ||
		len(got[0].Error) > 200 || !strings.HasPrefix(got[0].Error, "two lines   éé") || strings.ToValidUTF8(got[0].Error, "") != got[0].Error {
		t.Errorf("got %q", got)
	}
	f = ""
	for i := range 30 {
		f = f.Add(verify.Failure{"a", fmt.Sprint(i)})
	}
	if got := f.List(); len(got) != 10 || got[0].Error != "20" || got[9].Error != "29" {
		t.Errorf("of many, %q are kept", got)
	}
}
