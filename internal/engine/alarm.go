package engine

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// An account whose credentials were wrong so often in an hour, from anywhere, has
// somebody at its door, or a client that was set up wrongly. The operator is told,
// once an hour; the account stays open, since closing it would be the attack.
const (
	alarmAfter = 20
	alarmEvery = time.Hour
)

// alarms counts requests with wrong credentials by account, on this node.
type alarms struct {
	clock    clockwork.Clock
	mu       sync.Mutex
	accounts map[string]*failures // bounded by the number of accounts
}

// failures are the times of an account's last failures.
type failures struct {
	times [alarmAfter]time.Time
	next  int       // where the oldest lies
	told  time.Time // when the alarm was raised last
}

func newAlarms(clock clockwork.Clock) *alarms {
	return &alarms{clock: clock, accounts: map[string]*failures{}}
}

// fail counts a failure and reports whether it is time to raise the alarm. Those
// for keys that no account has are counted under "", for the work and not for the
// result: they must not take less time.
func (a *alarms) fail(account string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	f := a.accounts[account]
	if f == nil {
		f = &failures{}
		a.accounts[account] = f
	}
	f.times[f.next] = now
	f.next = (f.next + 1) % alarmAfter
	oldest := f.times[f.next]
	if oldest.IsZero() || now.Sub(oldest) > alarmEvery || now.Before(oldest) || within(f.told, now, alarmEvery) {
		return false
	}
	f.told = now
	return account != ""
}

// within reports whether t is less than d before now. The zero time, and one after now
// (a clock was set back), are not.
func within(t, now time.Time, d time.Duration) bool {
	ago := now.Sub(t)
	return ago >= 0 && ago < d
}
