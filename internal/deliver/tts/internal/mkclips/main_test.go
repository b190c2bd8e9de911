package main

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestPhonemes compares the phonemes of each digit with a table that was checked for
// each language. Run it with -write to record a new table, and review the difference.
func TestPhonemes(t *testing.T) {
	const version, table = "1.51", "testdata/phonemes.txt"
	path, err := exec.LookPath("espeak-ng")
	if err != nil {
		t.Skip("espeak-ng is not on the PATH")
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), ": "+version+" ") {
		t.Skipf("the table is for espeak-ng %s, not %s", version, out)
	}
	sets, err := clipSets("../..")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, set := range sets {
		row := append([]string{set.name}, phonemes(t, path, set)...)
		if words := slices.Compact(slices.Sorted(slices.Values(row[1:]))); len(words) != len(digits) {
			t.Errorf("%s: two digits have the same phonemes: %q", set.name, row)
		}
		got = append(got, strings.Join(row, " "))
	}
	if *write {
		if err := os.WriteFile(table, []byte(strings.Join(got, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range strings.Split(strings.TrimSpace(string(want)), "\n") {
		if i >= len(got) || got[i] != row {
			t.Errorf("line %d:\n got %q\nwant %q", i+1, got[min(i, len(got)-1)], row)
		}
	}
}

var write = flag.Bool("write", false, "record the table of phonemes")

// phonemes returns the phonemes of each digit in the voice of a set.
func phonemes(t *testing.T, path string, set clipSet) []string {
	t.Helper()
	var text strings.Builder
	for _, digit := range strings.Split(digits, "") {
		text.WriteString(set.texts[digit] + ".\n\n") // a separate sentence
	}
	cmd := exec.CommandContext(t.Context(), path, "-q", "-x", "-b", "1", "-v", set.voice, "--stdin")
	cmd.Stdin = strings.NewReader(text.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if words := strings.Join(strings.Fields(line), ""); words != "" {
			list = append(list, words)
		}
	}
	if len(list) != len(digits) {
		t.Fatalf("%s: %d digits spoken, want %d: %q", set.name, len(list), len(digits), out)
	}
	return list
}
