package signature_test

import (
	"testing"

	"countersign/internal/signature"
)

// TestAllocations limits the allocations of Sign and Verify.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	params := map[string]string{"api_key": "demo0001", "number": "447700900000", "brand": "Acme", "timestamp": "1700000000"}
	sig := signature.Sign(signature.SHA256, secret, params)
	for _, tt := range []struct {
		name   string
		budget float64
		run    func()
	}{
		{"sign", 13, func() { signature.Sign(signature.SHA256, secret, params) }},
		{"verify", 12, func() {
			if !signature.Verify(signature.SHA256, secret, params, sig) {
				panic("it is right")
			}
		}},
	} {
		got := testing.AllocsPerRun(100, tt.run)
		t.Logf("%-8s %.0f allocations, at most %.0f", tt.name, got, tt.budget)
		if got > tt.budget {
			t.Errorf("%s: %.0f allocations, want at most %.0f", tt.name, got, tt.budget)
		}
	}
}
