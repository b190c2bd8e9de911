package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "countersign-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program.path = filepath.Join(dir, "countersign")
	status := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// program is the binary under test, built for the first test that needs it.
var program struct {
	path string
	once sync.Once
	err  error
}

// countersign returns the path of the program under test: COUNTERSIGN_PROGRAM, such as a
// release, or a build of this source.
func countersign(t *testing.T) string {
	t.Helper()
	require(t, "go")
	if path := os.Getenv("COUNTERSIGN_PROGRAM"); path != "" {
		return path
	}
	program.once.Do(func() {
		build := exec.Command("go", "build", "-o", program.path, "../cmd/countersign")
		if out, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatalf("build the program: %v", program.err)
	}
	return program.path
}

// require skips the test without COUNTERSIGN_E2E, and fails it if a tool is missing.
func require(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("COUNTERSIGN_E2E") == "" {
		t.Skip("end-to-end tests run with COUNTERSIGN_E2E=1; see make test")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v; e2e/setup installs it", err)
		}
	}
}
