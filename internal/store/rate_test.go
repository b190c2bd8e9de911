package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRateWindow: with requests at any times, from clocks that differ slightly, the stored
// window never allows more than the limit in a second. It refuses no request that is below
// the limit by a hundredth of a second.
func TestRateWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		now := time.UnixMilli(rapid.Int64Range(0, 1e12).Draw(t, "now"))
		seen := (&rateWindow{}).encode()
		var passed []time.Time
		for range rapid.IntRange(1, 30).Draw(t, "bursts") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 9, 10, 300, 500, 999, 1000, 1001, 1010, 5000}).Draw(t, "ms")) * time.Millisecond)
			for range rapid.IntRange(1, 2*limit).Draw(t, "requests") {
				second, longer := 0, 0
				for _, p := range passed {
					if now.Sub(p) < time.Second {
						second++
					}
					if now.Sub(p) < time.Second+rateStep*time.Millisecond {
						longer++
					}
				}
				w := decodeRateWindow(seen)
				ok := w.allow(limit, now)
				seen = w.encode()
				if ok && second >= limit || !ok && longer < limit {
					t.Fatalf("with %d of %d in the last second, %d in a step more: passes %v", second, limit, longer, ok)
				}
				if ok {
					passed = append(passed, now)
				}
			}
		}
	})
}

// TestRateWindowClocks: a node with a slow clock counts with the others; a clock that was
// hours ahead does not block an account for hours.
func TestRateWindowClocks(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1e12)
	w := &rateWindow{}
	if !w.allow(1, now) || w.allow(1, now.Add(-300*time.Millisecond)) {
		t.Error("a slow clock gets a new window")
	}
	if !w.allow(1, now.Add(-time.Hour)) {
		t.Error("requests from an hour ahead still count")
	}
	if w = decodeRateWindow([]byte("of another release")); !w.allow(1, now) {
		t.Error("an invalid window refuses")
	}
}
