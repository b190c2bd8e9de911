package phone_test

import (
	"testing"

	"countersign/internal/phone"
)

// Parsing the number of a request must stay within its budget of allocations.
func TestReaderAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	var r phone.Reader
	for number, budget := range map[string]float64{"447700900000": 0, "491701234567": 0, "14165551234": 0, "+49 170 1234567": 1} {
		got := testing.AllocsPerRun(100, func() { _, _ = r.Parse(number, "") })
		t.Logf("%-16s %.0f allocations, at most %.0f", number, got, budget)
		if got > budget {
			t.Errorf("%s: %.0f allocations, want at most %.0f", number, got, budget)
		}
	}
}
