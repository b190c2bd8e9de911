package main

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
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
	in.fails(3, "447700900007 is not blocked", "number", "unblock", "447700900007", "CONFIG")
	in.ok("number", "unblock", "+447700900006", "CONFIG")
	if got := in.ok("number", "list", "CONFIG"); got != header {
		t.Errorf("the list is %q", got)
	}
	for _, command := range []string{"block", "unblock"} {
		in.fails(2, "", "number", command, "12", "CONFIG")
		in.fails(2, "", "number", command, "07700900007", "CONFIG")
	}
}

// TestNumberCaps shows the counters of a number after five messages, and resets them.
func TestNumberCaps(t *testing.T) {
	t.Parallel()
	in := install(t)
	const number = "447700900001"
	in.fails(3, "no counts exist for "+number, "number", "unlock", number, "CONFIG")
	db := in.open()
	caps := fraud.Caps{Sends: []fraud.Window{{Count: 5, Within: 10 * time.Minute}}, Remember: 2160 * time.Hour}
	now := time.Now().UTC()
	if err := db.Write(t.Context(), store.Scope{}, func(tx *store.Tx) error {
		g, err := tx.NumberHistory(number)
		for range 5 {
			g.Number = caps.Sent(g.Number, "demo0001", now)
		}
		g.Number = caps.Verified(g.Number, "demo0001", now)
		return errors.Join(err, tx.SaveNumberHistory(g, caps.StaleAt(g.Number)))
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	shows := func(lines ...string) {
		t.Helper()
		got := in.ok("number", "status", "+44 7700 900001", "CONFIG")
		for _, line := range lines {
			if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(got) {
				t.Errorf("no line %q in\n%s", line, got)
			}
		}
	}
	in.ok("number", "block", number, "CONFIG")
	until := now.Add(10 * time.Minute).Format(time.RFC3339)
	shows(number+" is blocked", `CAP +ACCOUNT +COUNT +REFUSED UNTIL`, `sends_10m +all +5 of 5 +`+until, `sends_1h +all +5 of 10 +-`,
		`account_sends_10m +demo0001 +5 of 5 +`+until, `streak +demo0001 +0 of 100 +-`, `verified by demo0001 at 20\S+Z`)
	in.ok("number", "unlock", number, "CONFIG")
	shows(`sends_10m +all +0 of 5 +-`, `verified by demo0001 at 20\S+Z`)
	for _, command := range []string{"status", "unlock"} {
		in.fails(2, "", "number", command, "12", "CONFIG")
	}
}
