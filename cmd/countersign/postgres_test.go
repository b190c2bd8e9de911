package main

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign/internal/pgtest"
)

// postgres NAME sets a variable to the URL of an empty PostgreSQL database, with a
// password that the server does not require.
func postgres(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: postgres name")
		}
		ts.Setenv(args[0], strings.Replace(pgtest.URL(t), "postgres@", "postgres:hunter2@", 1))
	}
}
