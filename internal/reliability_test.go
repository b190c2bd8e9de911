package internal

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReliabilityTable checks that each test named in the table of disturbances exists in
// its package.
func TestReliabilityTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/explanation/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(\\./[a-z0-9/]+)` `(Test[A-Za-z]+)[/a-z]*`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 30 {
		t.Errorf("%d tests found in the table; is its form another?", len(named))
	}
	for _, name := range named {
		if !hasTest(t, filepath.Join("..", name[1]), name[2]) {
			t.Errorf("%s has no %s", name[1], name[2])
		}
	}
}

func hasTest(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)") {
			return true
		}
	}
	return false
}
