package main

import (
	"strings"
	"testing"
)

// TestTimes checks that flags with times and durations accept every form, and that errors
// name the flag, the value and the forms.
func TestTimes(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Acme", "CONFIG", "--key=acme0001")
	for _, form := range []string{"yesterday", "2h", "1d12h", "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31 12:00"} {
		for _, flag := range []string{"--since=", "--until="} {
			in.ok("audit", "list", "CONFIG", flag+form)
		}
		in.ok("ledger", "export", "CONFIG", "--from="+form)
	}
	if out := in.ok("audit", "list", "CONFIG", "--since=today"); !strings.Contains(out, "account.create") {
		t.Errorf("since today: %s", out)
	}
	if out := in.ok("audit", "list", "CONFIG", "--since=+1d"); strings.Contains(out, "account.create") {
		t.Errorf("since tomorrow: %s", out)
	}
	in.ok("verification", "list", "CONFIG", "--account=acme0001", "--since=7d")
	in.ok("price", "set", "GB", "0.05", "CONFIG", "--from=tomorrow", "--until=+4w")
	in.fails(2, `--since: must be a time such as`, "audit", "list", "CONFIG", "--since=last week")
	in.fails(2, `not "last week"`, "audit", "list", "CONFIG", "--since=last week")
	in.fails(2, `--keep: must be a duration such as 500ms, 5s, 2h, 30d, 2w or 1d12h, not "1y"`, "account", "rotate-signature", "acme0001", "CONFIG", "--keep=1y")
}
