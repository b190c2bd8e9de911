package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/verify"
)

// TestClockJumps: after a clock step no message is sent twice, no expired PIN is accepted, and
// every verification ends. Waits follow the clock.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		jump  time.Duration
		check verify.Kind   // result of the right code, two minutes later
		ends  time.Duration // latest end after the check
	}{
		{"A second", time.Second, 0, 700 * time.Second},
		{"A quarter of an hour ahead", 15 * time.Minute, verify.KindNotFound, 0},
		{"Ten seconds back", -10 * time.Second, 0, 700 * time.Second},
		{"An hour back", -time.Hour, verify.KindNotFound, time.Hour + 700*time.Second}, // start in the future: expired
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t)
				b.resume()
				v, err := b.Start(t.Context(), b.account, b.request())
				must(t, err)
				b.settled(v.ID, 0)
				request := b.request()
				request.To = verify.PhoneAddress("447700900099", request.To.Country)
				other, err := b.Start(t.Context(), b.account, request)
				must(t, err)
				b.settled(other.ID, 0)

				b.clock.Advance(tt.jump)
				b.rest()
				for range 12 {
					b.clock.Advance(10 * time.Second)
					b.rest()
				}
				if n := len(b.carrier.all()); n != 2 { // the next is due at 125 s
					t.Errorf("%d messages, want 2", n)
				}
				if _, err = b.Check(t.Context(), b.account, v.ID, v.PIN, ""); err != nil && kind(err) != tt.check || err == nil && tt.check != 0 {
					t.Errorf("the right code: %v, want kind %d", err, tt.check)
				}
				for left := tt.ends; left > 0; left -= 5 * time.Second {
					b.clock.Advance(5 * time.Second)
					b.rest()
				}
				if rec := b.record(other.ID); rec.Status == verify.InProgress {
					t.Errorf("not ended after %d events", len(rec.Events))
				}
				seen := map[verify.ID]bool{}
				for _, m := range b.carrier.all() {
					if seen[m.EventID] || m.Attempt != 1 {
						t.Errorf("sent twice: %+v", m.EventID)
					}
					seen[m.EventID] = true
				}
			})
		})
	}
}
