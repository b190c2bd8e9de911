package main

import (
	"regexp"
	"testing"
	"time"

	"countersign/internal/store"
)

// TestRetention shows a suspended retention and confirms the clock.
func TestRetention(t *testing.T) {
	t.Parallel()
	in := install(t)
	shows := func(pattern string) {
		t.Helper()
		if got := in.ok("retention", "status", "CONFIG"); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("no match for %q in\n%s", pattern, got)
		}
	}
	shows(`(?m)^STATE +active\nLAST RUN +never\nNOW +\d{4}-\S+Z\n$`)
	in.fails(1, "retention is not suspended", "retention", "confirm", "CONFIG")
	db := in.open()
	before := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err := db.ChangeRetentionState(t.Context(), func(store.RetentionState) (store.RetentionState, error) {
		after := before.AddDate(1, 0, 0)
		return store.RetentionState{LastRun: after, Suspended: true, Before: before, After: after, Counted: 90 * time.Minute}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	shows(`(?m)^STATE +suspended: the clock jumped\nLAST RUN +2027-01-02T03:04:05Z\nNOW .*\nJUMPED FROM +2026-01-02T03:04:05Z\nTO +2027-01-02T03:04:05Z\nPLAUSIBLE FOR +1h30m0s of 24h0m0s\n$`)
	if got := in.ok("retention", "confirm", "CONFIG"); !regexp.MustCompile(`^The clock is confirmed: it is \d{4}-\S+Z. Retention resumes within a minute.\n$`).MatchString(got) {
		t.Errorf("confirm prints %q", got)
	}
	shows(`(?m)^STATE +active\nLAST RUN +\d{4}`)
}
