package fraud_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/fraud"
)

func drawWindows(t *rapid.T, label string) []fraud.Window {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fraud.Window {
		return fraud.Window{
			Count:  rapid.IntRange(1, 8).Draw(t, "count"),
			Within: time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second,
		}
	}), 0, 3).Draw(t, label)
}

func drawCaps(t *rapid.T) fraud.Caps {
	return fraud.Caps{
		Sends: drawWindows(t, "sends"), AccountSends: drawWindows(t, "account sends"),
		FailedChecks: drawWindows(t, "failed"), AccountFailedChecks: drawWindows(t, "account failed"),
		Streak:   rapid.IntRange(0, 10).Draw(t, "streak"),
		Lock:     time.Duration(rapid.IntRange(1, 3600).Draw(t, "lock")) * time.Second,
		Remember: 2 * time.Hour,
	}
}

// past has all events, for a check that does not prune.
type past map[string][]time.Time

// most returns the number of times in a window that ends at now.
func most(times []time.Time, within time.Duration, now time.Time) (n int) {
	for _, at := range times {
		if now.Sub(at) < within {
			n++
		}
	}
	return n
}

func (p past) judge(t *rapid.T, what string, windows []fraud.Window, now time.Time) {
	for _, w := range windows {
		if n := most(p[what], w.Within, now); n > w.Count {
			t.Fatalf("%d %s within %v, at most %d", n, what, w.Within, w.Count)
		}
	}
}

// TestCaps: accounts send and guess at random, and no window that ends with a permitted
// event exceeds its cap.
func TestCaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := history{caps: drawCaps(t), now: t0}
		sent, failed, streak := past{}, past{}, map[string]int{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			account := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "account")
			h.now = h.now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 500, 60_000, 600_000}).Draw(t, "pause")) * time.Millisecond)
			before := fmt.Sprint(h.n)
			old := h.n
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				h.n = h.caps.Verified(h.n, account, h.now)
				streak[account] = 0
			case 1, 2:
				if refused, _ := h.fail(account); refused == "" {
					failed["of all"] = append(failed["of all"], h.now)
					failed[account] = append(failed[account], h.now)
					streak[account]++
					failed.judge(t, "of all", h.caps.FailedChecks, h.now)
					failed.judge(t, account, h.caps.AccountFailedChecks, h.now)
				}
				if s := h.caps.Streak; s > 0 && streak[account] >= s && h.caps.MayCheck(h.n, account, h.now) == nil {
					t.Fatalf("%d failed in a row, and not locked", streak[account])
				}
				if s := h.caps.Streak; s > 0 && streak[account] >= s {
					streak[account] = s - 1 // one more try after the lock
				}
			default:
				if h.send(account) == "" {
					sent["of all"] = append(sent["of all"], h.now)
					sent[account] = append(sent[account], h.now)
					sent.judge(t, "of all", h.caps.Sends, h.now)
					sent.judge(t, account, h.caps.AccountSends, h.now)
				}
			}
			if after := fmt.Sprint(old); after != before {
				t.Fatalf("changed in place:\n%s\n%s", before, after)
			}
			back, err := fraud.Decode(h.n.Encode())
			if err != nil || fmt.Sprint(back) != fmt.Sprint(h.n) {
				t.Fatalf("%v reads back as %v, %v", h.n, back, err)
			}
		}
	})
}

// TestUntil: a refusal lasts until its Until, and eventually all is permitted: a cap is no
// permanent block.
func TestUntil(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := history{caps: drawCaps(t), now: t0}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			account := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account")
			h.now = h.now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "pause")) * time.Millisecond)
			if rapid.Bool().Draw(t, "send") {
				h.send(account)
			} else {
				h.fail(account)
			}
		}
		for i := 0; ; i++ {
			r := h.caps.MaySend(h.n, "a", h.now)
			if r == nil {
				break
			}
			if i == 10 || !r.Until.After(h.now) {
				t.Fatalf("refused without end: %+v", r)
			}
			if last := r.Until.Add(-time.Millisecond); h.caps.MaySend(h.n, "a", last) == nil {
				t.Fatalf("passes before %v (%s)", r.Until, r.Cap)
			}
			h.now = r.Until
		}
		stale := h.caps.StaleAt(h.n)
		for _, account := range []string{"a", "b"} {
			if r := h.caps.MaySend(h.n, account, stale); r != nil {
				t.Fatalf("refused when it is stale: %+v", r)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	caps := defaults()
	n, _ := caps.Failed(caps.Sent(fraud.Number{}, "demo0001", t0), "demo0001", t0)
	f.Add(n.Encode())
	f.Add([]byte{1, 200, 200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := fraud.Decode(b)
		if err != nil {
			return
		}
		if back, err := fraud.Decode(n.Encode()); err != nil || len(back.Uses) != len(n.Uses) {
			t.Errorf("%v reads back as %v, %v", n, back, err)
		}
	})
}
