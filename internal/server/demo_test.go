package server_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"countersign/internal/config"
	"countersign/internal/server"
)

// TestTutorialCaps compares the caps in the tutorial with the configurations.
func TestTutorialCaps(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	counts := func(lists ...[]config.Cap) string {
		var text []string
		for _, list := range lists {
			for _, c := range list {
				text = append(text, fmt.Sprint(c.Count))
			}
		}
		return strings.Join(text, ", ")
	}
	real, demo := config.Default().Fraud.Caps, server.DemoConfig().Fraud.Caps
	for _, row := range []string{
		"| Messages to a number in 10 minutes, an hour, a day | " + counts(real.AccountSends) + " | " + counts(demo.AccountSends) + " |",
		"| Wrong codes for a number in a day, by one account and by all | " + counts(real.AccountFailedChecks, real.FailedChecks) + " | " + counts(demo.AccountFailedChecks, demo.FailedChecks) + " |",
	} {
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/tutorial.md lacks the row\n%s", row)
		}
	}
	if err := server.DemoConfig().Validate(); err != nil {
		t.Errorf("configuration of the demo: %v", err)
	}
}
