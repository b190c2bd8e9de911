package engine

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// throttle holds every account to a number of requests in any second on this node: a
// sliding window, so that no burst slips through where two fixed windows meet.
// Requests that are refused do not count. Starts and checks are counted for all nodes
// together, too, where there are others (store.Limit).
type throttle struct {
	clock    clockwork.Clock
	mu       sync.Mutex
	accounts map[string]*window // bounded by the number of accounts
}

// window holds the times of the last requests let through, as many as may pass
// in a second.
type window struct {
	times []time.Time
	next  int // where the oldest lies
}

func newThrottle(clock clockwork.Clock) *throttle {
	return &throttle{clock: clock, accounts: map[string]*window{}}
}

// allow reports whether account may make one more request now, and counts it.
func (t *throttle) allow(account string, rate int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now() // under the lock, so that times enter in their order
	w := t.accounts[account]
	if w == nil || len(w.times) != rate {
		w = &window{times: make([]time.Time, rate)}
		t.accounts[account] = w
	}
	if within(w.times[w.next], now, time.Second) {
		return false
	}
	w.times[w.next] = now
	w.next = (w.next + 1) % rate
	return true
}

// takeBack forgets the request that was counted last: it was refused after all.
func (t *throttle) takeBack(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.accounts[account]
	if w == nil {
		return
	}
	// What lay there is more than a second old.
	w.next = (w.next + len(w.times) - 1) % len(w.times)
	w.times[w.next] = time.Time{}
}
