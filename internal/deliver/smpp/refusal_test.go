package smpp

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/pdu"
)

// TestBindRefusalsAreDocumented: the page has exactly one row for each status.
func TestBindRefusalsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/reference/smpp-carrier-behaviour.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### A bind is refused\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var want strings.Builder
	for _, status := range slices.Sorted(maps.Keys(bindRefusals())) {
		fmt.Fprintf(&want, "| `0x%02X` | %s | %s |\n", uint32(status), status.Name(), bindRefusals()[status])
	}
	_, rows, _ := strings.Cut(section, "|---|---|---|\n")
	if strings.TrimSpace(rows) != strings.TrimSpace(want.String()) {
		t.Errorf("the page has\n%s\nwant\n%s", rows, want.String())
	}
	if !strings.Contains(section, otherRefusal) {
		t.Errorf("the page lacks %q", otherRefusal)
	}
}

// TestRefusalKeepsTheStatus: the error of a refused bind wraps its status.
func TestRefusalKeepsTheStatus(t *testing.T) {
	t.Parallel()
	var err error = &refusal{StatusError{Status: pdu.StatusInvalidPassword}}
	if no, ok := errors.AsType[*StatusError](err); !ok || no.Status != pdu.StatusInvalidPassword {
		t.Errorf("no status in %v", err)
	}
	if err := explained(fmt.Errorf("read: %w", io.EOF)); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "whether it allows this IP address") {
		t.Errorf("a closed connection is reported as %v", err)
	}
	if err := explained(os.ErrDeadlineExceeded); err != os.ErrDeadlineExceeded { //nolint:errorlint // it must be unchanged
		t.Errorf("another error is changed: %v", err)
	}
}
