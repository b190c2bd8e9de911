package fraud_test

import (
	"testing"
	"time"

	"countersign/internal/fraud"
)

// TestFutureNumber: times from the future count toward no cap, and are removed at the next
// use of the number.
func TestFutureNumber(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	caps := fraud.Caps{
		Sends: []fraud.Window{{1, time.Hour}}, AccountSends: []fraud.Window{{1, 24 * time.Hour}}, FailedChecks: []fraud.Window{{1, time.Hour}},
		Streak: 1, Lock: time.Hour, Remember: 90 * 24 * time.Hour,
	}
	for _, tt := range []struct {
		ahead  time.Duration
		counts bool
	}{
		{5 * time.Second, true}, // another node's clock
		{5 * time.Minute, true},
		{5*time.Minute + time.Second, false},
		{time.Hour, false},
		{400 * 24 * time.Hour, false},
	} {
		future := now.Add(tt.ahead)
		uses := map[string]fraud.Number{"sent": caps.Sent(fraud.Number{}, "a", future)}
		uses["failed"], _ = caps.Failed(fraud.Number{}, "a", future)
		for name, n := range uses {
			if got := caps.MaySend(n, "a", now) != nil; got != tt.counts {
				t.Errorf("%v ahead: %s refuses a message: %v, want %v", tt.ahead, name, got, tt.counts)
			}
			if got := caps.Counts(n, now); got != tt.counts {
				t.Errorf("%v ahead: %s counts: %v, want %v", tt.ahead, name, got, tt.counts)
			}
			if n = caps.Verified(n, "b", now); !tt.counts && len(n.Uses) != 1 {
				t.Errorf("%v ahead: %s is kept: %+v", tt.ahead, name, n.Uses)
			}
		}
		if got := caps.VerifiedBefore(caps.Verified(fraud.Number{}, "a", future), "", now); got != tt.counts {
			t.Errorf("%v ahead: verified before: %v, want %v", tt.ahead, got, tt.counts)
		}
	}
}

// TestFutureState: blocks, unblocks and counts of a clock that was ahead have no effect
// after its correction, and the rules continue to work.
func TestFutureState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	volume := fraud.Volume{Mode: fraud.Enforce, Window: time.Hour, Starts: 3, Blocks: []time.Duration{time.Hour}}
	for _, ahead := range []time.Duration{time.Hour, 400 * 24 * time.Hour} {
		s := fraud.NewState(fraud.Rules{Prefix: volume, RepeatWithin: 24 * time.Hour}, nil, zeros{})
		a := fraud.Attempt{Account: "a", Number: "447700900001", Country: "GB"}
		starts := func(at time.Time) (n int) {
			for range 5 {
				if s.Start(a, at).Refused == nil {
					n++
				}
			}
			return n
		}
		if n := starts(now.Add(ahead)); n != 3 {
			t.Fatalf("%d starts ahead", n)
		}
		s.LoadBlocks(nil, []fraud.Unblock{{Account: "a", Network: "4477009", Since: now.Add(ahead), Until: now.Add(ahead + time.Hour)}}, now)
		if n := starts(now); n != 3 {
			t.Errorf("%v ahead and back: %d starts, want 3", ahead, n)
		}
		d := s.Start(a, now)
		if d.Refused == nil || d.Refused.Repeat != 1 || !d.Refused.Until.Equal(now.Add(time.Hour)) {
			t.Errorf("%v ahead and back: refused by %+v", ahead, d.Refused)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
