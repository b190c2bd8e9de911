package e2e

import (
	"testing"
	"time"
)

// TestSMPPStop checks that a message waiting for a carrier does not delay a stop. The next start
// sends it.
func TestSMPPStop(t *testing.T) {
	t.Parallel()
	require(t)
	s := install(t, "carriers:\n"+viaSMPP("dead", "127.0.0.1:1")+"routes: [{carriers: [dead]}]").serve(t)
	s.ask(t, "/verify/json", "number", crashNumber, "brand", "Acme").want(t, "status", "0")
	began := time.Now()
	s.stop(t) // checks that the exit status is 0
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
