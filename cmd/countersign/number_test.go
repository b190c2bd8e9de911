package main

import (
	"regexp"
	"testing"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	in := install(t)
	const header = "NUMBER  SINCE  REASON\n"
	if got := in.ok("number", "list", "CONFIG"); got != header {
		t.Errorf("an empty list prints %q", got)
	}
	in.ok("number", "block", "+44 7700-900007", "--reason=fraud, twice", "CONFIG")
	in.ok("number", "block", "447700900006", "CONFIG")
	want := regexp.MustCompile(`^NUMBER +SINCE +REASON\n447700900006 +20\S+Z +\n447700900007 +20\S+Z +fraud, twice\n$`)
	if got := in.ok("number", "list", "CONFIG"); !want.MatchString(got) {
		t.Errorf("the list is %q", got)
	}
	in.ok("number", "unblock", "447700900007", "CONFIG")
	in.fails(1, "447700900007 is not blocked", "number", "unblock", "447700900007", "CONFIG")
	in.ok("number", "unblock", "+447700900006", "CONFIG")
	if got := in.ok("number", "list", "CONFIG"); got != header {
		t.Errorf("the list is %q", got)
	}
	for _, command := range []string{"block", "unblock"} {
		in.fails(1, "", "number", command, "12", "CONFIG")
		in.fails(1, "", "number", command, "07700900007", "CONFIG")
	}
}
