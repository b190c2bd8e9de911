package engine_test

import (
	"crypto/rand"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/engine"
	"countersign/internal/verify"
)

// TestCheckMetrics: each check counts once, by its result; only a right code is valid, and
// only the check that ends a verification counts its end.
func TestCheckMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	b := setUp(t, func(_ *bench, cfg *engine.Config) { cfg.Metrics = reg })
	start := func() verify.Verification {
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		b.settled(v.ID, 0)
		return v
	}
	want := map[string]float64{}
	expect := func(when string) {
		t.Helper()
		for _, result := range []string{"valid", "invalid", "not_found", "error"} {
			if got := counted(t, reg, "countersign_checks_total", result); got != want[result] {
				t.Errorf("%s: %v checks are %s, want %v", when, got, result, want[result])
			}
		}
		for _, status := range []verify.Status{verify.Success, verify.Failed, verify.Cancelled, verify.Expired} {
			if got := counted(t, reg, "countersign_verifications_ended_total", string(status)); got != want[string(status)] {
				t.Errorf("%s: %v verifications are %s, want %v", when, got, status, want[string(status)])
			}
		}
		if got, all := sum(t, reg, "countersign_checks_total"), want["valid"]+want["invalid"]+want["not_found"]+want["error"]; got != all {
			t.Errorf("%s: %v checks are counted, want %v", when, got, all)
		}
	}
	check := func(v verify.Verification, code verify.PIN, result string, ended verify.Status) {
		t.Helper()
		_, _ = b.Check(t.Context(), b.account, v.ID, code, "") // only the counters matter
		want[result]++
		if ended != "" {
			want[string(ended)]++
		}
		expect(result)
	}
	expect("at first")
	failed := start()
	check(failed, wrongCode(failed), "invalid", "")
	check(failed, wrongCode(failed), "invalid", "")
	check(failed, wrongCode(failed), "invalid", verify.Failed)
	check(failed, rightCode(failed), "not_found", "")
	succeeded := start()
	check(succeeded, wrongCode(succeeded), "invalid", "")
	check(succeeded, rightCode(succeeded), "valid", verify.Success)
	check(succeeded, rightCode(succeeded), "not_found", "")
	check(verify.Verification{Request: succeeded.Request, ID: verify.NewID(rand.Reader)}, rightCode(succeeded), "not_found", "")
	unknown := start()
	b.behind(`ALTER TABLE verifications RENAME TO gone`)
	check(unknown, rightCode(unknown), "error", "")
}
