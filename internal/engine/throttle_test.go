package engine

import (
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"pgregory.net/rapid"
)

// TestThrottle compares random request times with the definition: at most rate requests are
// admitted in any second, and a request is refused only if it would exceed that.
func TestThrottle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := clockwork.NewFakeClock()
		throttle := newThrottle(clock)
		rates := map[string]int{"fast": 30, "slow": rapid.IntRange(1, 5).Draw(t, "rate")}
		passed := map[string][]time.Time{}
		for range rapid.IntRange(1, 20).Draw(t, "bursts") {
			clock.Advance(time.Duration(rapid.SampledFrom([]int{0, 1, 10, 300, 500, 999, 1000, 1001, 1500}).Draw(t, "ms")) * time.Millisecond)
			key := rapid.SampledFrom([]string{"fast", "slow"}).Draw(t, "account")
			for range rapid.IntRange(1, 60).Draw(t, "requests") {
				now, recent := clock.Now(), 0
				for _, p := range passed[key] {
					if now.Sub(p) < time.Second {
						recent++
					}
				}
				ok := throttle.allow(key, rates[key])
				if want := recent < rates[key]; ok != want {
					t.Fatalf("with %d of %d in the last second: passes %v, want %v", recent, rates[key], ok, want)
				}
				if ok {
					passed[key] = append(passed[key], now)
				}
			}
		}
	})
}
