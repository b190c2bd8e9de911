package engine

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// throttle limits the requests of each account in any second on this node. It uses a sliding
// window, since fixed windows admit a double burst at their boundary. Refused requests do
// not count. Starts and checks also count across nodes on a shared database (store.Limit).
type throttle struct {
	clock    clockwork.Clock
	mu       sync.Mutex
	accounts map[string]*window // bounded by the number of accounts
}

// window holds the times of the last admitted requests, one for each request that the rate
// admits in a second.
type window struct {
	times []time.Time
	next  int // index of the oldest time
}

func newThrottle(clock clockwork.Clock) *throttle {
	return &throttle{clock: clock, accounts: map[string]*window{}}
}

// allow reports whether account may make one more request now, and counts it.
func (t *throttle) allow(account string, rate int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now() // under the lock, to keep the times in order
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

// takeBack removes the last counted request, which was refused afterwards.
func (t *throttle) takeBack(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.accounts[account]
	if w == nil {
		return
	}
	// The overwritten time was more than a second old.
	w.next = (w.next + len(w.times) - 1) % len(w.times)
	w.times[w.next] = time.Time{}
}
