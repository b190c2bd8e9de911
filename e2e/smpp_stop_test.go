package e2e

import (
	"testing"
	"time"
)

// TestSMPPStop: a message that waits for a carrier does not hold up a stop. It is
// left for the next start.
func TestSMPPStop(t *testing.T) {
	t.Parallel()
	require(t)
	s := install(t, "carriers:\n"+viaSMPP("dead", "127.0.0.1:1")+"routes: [{carriers: [dead]}]").serve(t)
	s.ask(t, "/verify/json", "number", crashNumber, "brand", "Acme").want(t, "status", "0")
	began := time.Now()
	s.stop(t) // sees that the exit status is 0
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
