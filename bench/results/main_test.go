package main

import (
	"fmt"
	"strings"
	"testing"
)

// line is an event of package p.
func line(action, test, output string, seconds float64) string {
	return fmt.Sprintf(`{"Action":%q,"Package":"p","Test":%q,"Output":%q,"Elapsed":%v}`+"\n", action, test, output, seconds)
}

func results(t *testing.T, report string) string {
	t.Helper()
	var out strings.Builder
	if err := run(strings.NewReader(report), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestResults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, report, want string
	}{
		{"nothing", "", ""},
		{
			"passed",
			line("output", "TestA", "=== RUN   TestA\n", 0) + line("output", "TestA", "a word\n", 0) + line("pass", "TestA", "", 1.25) +
				line("output", "", "PASS\n", 0) + line("output", "", "ok  \tp\t2s\n", 0) + line("pass", "", "", 2),
			"ok  \tp\t2s\nslowest tests:\n    1.2 s  p TestA\n",
		},
		{
			"failed: all of its output, in order, without passed tests",
			line("output", "TestA", "A 1\n", 0) + line("output", "TestB", "B 1\n", 0) + line("output", "TestA", "A 2\n", 0) +
				line("pass", "TestB", "", 1) + line("fail", "TestA", "", 3) +
				line("output", "", "FAIL\n", 0) + line("output", "", "FAIL\tp\t4s\n", 0) + line("fail", "", "", 4),
			"A 1\nA 2\nFAIL\nFAIL\tp\t4s\nslowest tests:\n    3.0 s  p TestA\n    1.0 s  p TestB\n",
		},
		{
			"a panic: the output of an unfinished test",
			line("output", "TestA", "panic: no\n", 0) + line("output", "", "FAIL\tp\t1s\n", 0) + line("fail", "", "", 1),
			"panic: no\nFAIL\tp\t1s\n",
		},
		{"killed", line("output", "TestA", "A 1\n", 0), "A 1\n"},
		{
			"a subtest failed: its output, but only the whole test in the list",
			line("output", "TestA/x", "x\n", 0) + line("fail", "TestA/x", "", 2) + line("output", "TestA", "A\n", 0) +
				line("fail", "TestA", "", 2) + line("fail", "", "", 2),
			"x\nA\nslowest tests:\n    2.0 s  p TestA\n",
		},
		{
			"does not compile",
			`{"ImportPath":"p","Action":"build-output","Output":"p.go:1: no\n"}` + "\n" + `{"ImportPath":"p","Action":"build-fail"}` + "\n" +
				line("output", "", "FAIL\tp [build failed]\n", 0) + line("fail", "", "", 0),
			"p.go:1: no\nFAIL\tp [build failed]\n",
		},
		{"no event", "a word\n{}\nan end", "a word\n{}\nan end"},
		{"no tests", line("output", "", "?   \tp\t[no test files]\n", 0) + line("skip", "", "", 0), "?   \tp\t[no test files]\n"},
		{
			"the same package again",
			strings.Repeat(line("output", "TestA", "a\n", 0)+line("pass", "TestA", "", 1)+line("output", "", "ok\n", 0)+line("pass", "", "", 1), 2),
			"ok\nok\nslowest tests:\n    1.0 s  p TestA\n    1.0 s  p TestA\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := results(t, tt.report); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestTenSlowest(t *testing.T) {
	t.Parallel()
	var report strings.Builder
	for n := range 12 {
		report.WriteString(line("pass", fmt.Sprint("Test", n), "", float64(n)))
	}
	lines := strings.Split(strings.TrimSpace(results(t, report.String())), "\n")
	if len(lines) != 11 || !strings.HasSuffix(lines[1], " Test11") || !strings.HasSuffix(lines[10], " Test2") {
		t.Errorf("got %q, want Test11 to Test2", lines)
	}
}
