package internal

import (
	"os/exec"
	"strings"
	"testing"
)

// TestProfiles: of all packages in the program, dependencies included, only internal/web
// makes profiles. A profile therefore has no labels, which could name an account or a
// number, and no handler of net/http/pprof is registered. The parser of profiles belongs to
// bench/speed.
func TestProfiles(t *testing.T) {
	t.Parallel()
	const wanted = "countersign/internal/web runtime/pprof"
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`, "./cmd/countersign")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		_, imported, _ := strings.Cut(line, " ")
		switch {
		case line == wanted:
			found = true
		case imported == "runtime/pprof", imported == "net/http/pprof", strings.HasPrefix(imported, "github.com/google/pprof"):
			t.Errorf("%s: the program must not import it", line)
		}
	}
	if !found {
		t.Errorf("%s is missing in %d octets", wanted, len(out))
	}
}
