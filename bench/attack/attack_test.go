package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestPumping runs 3 % of the most expensive attack. Without the fraud protection it succeeds;
// with it at most 60 messages are sent, and no legitimate user is refused.
func TestPumping(t *testing.T) {
	t.Parallel()
	const requests, percent, most = 10_000, 3, 60
	dir := t.TempDir()
	program, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := measure(t.Context(), program, dir, "pumping", percent)
	if err != nil {
		t.Fatal(err)
	}
	off, on := got[0][0], got[1][0]
	if off.requests != requests*percent/100 || off.messages < int(off.requests)*9/10 {
		t.Errorf("protection off: %+v", off)
	}
	if on.requests != off.requests || on.messages == 0 || on.messages > most || on.refused != 0 {
		t.Errorf("protection on: %+v", on)
	}
	var table bytes.Buffer
	if err := print(&table, got); err != nil || strings.Count(table.String(), "\n") != 4 || !strings.Contains(table.String(), "| pumping | on | 300 |") {
		t.Errorf("the table is (%v)\n%s", err, table.String())
	}
}
