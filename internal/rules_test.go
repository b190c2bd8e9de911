package internal

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRuleTable compares the section "Where is the rule?" with the code: each name of a row
// is declared in a file of the row, and each file declares one.
func TestRuleTable(t *testing.T) {
	t.Parallel()
	rows := 0
	quoted := regexp.MustCompile("`([^`]+)`")
	for _, line := range section(t, "../docs/explanation/architecture.md", "## Where is the rule?") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(line, "`") {
			continue
		}
		rows++
		files := make(map[string]string)
		used := make(map[string]bool)
		for _, file := range quoted.FindAllStringSubmatch(cells[3], -1) {
			text, err := os.ReadFile(filepath.FromSlash(file[1]))
			if err != nil {
				t.Error(err)
			}
			files[file[1]] = string(text)
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[2], -1) {
			last := name[1][strings.LastIndex(name[1], ".")+1:]
			declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?` + last + `\(|(type|const|var) ` + last + ` )`)
			found := false
			for file, text := range files {
				if declared.MatchString(text) {
					found, used[file] = true, true
				}
			}
			if !found {
				t.Errorf("%s: no file of the row declares %s", strings.TrimSpace(cells[1]), name[1])
			}
		}
		for file := range files {
			if !used[file] {
				t.Errorf("%s: %s declares no name of the row", strings.TrimSpace(cells[1]), file)
			}
		}
	}
	if rows < 10 {
		t.Errorf("the section has %d rules, want at least 10", rows)
	}
}

// section returns the lines of a Markdown file from a heading to the next one of its level.
func section(t *testing.T, path, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", path, heading)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return strings.Split(body, "\n")
}
