package engine

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// alarmAfter failed logins of an account within alarmEvery, from any address, mean an attack
// or a misconfigured client. The operator is warned at most once an hour. The account is not
// locked, since a lockout would be a denial of service.
const (
	alarmAfter = 20
	alarmEvery = time.Hour
)

// alarms counts requests with wrong credentials on this node, by account.
type alarms struct {
	clock    clockwork.Clock
	mu       sync.Mutex
	accounts map[string]*failures // bounded by the number of accounts
}

// failures are the times of an account's last failures.
type failures struct {
	times [alarmAfter]time.Time
	next  int       // index of the oldest time
	told  time.Time // last alarm
}

func newAlarms(clock clockwork.Clock) *alarms {
	return &alarms{clock: clock, accounts: map[string]*failures{}}
}

// fail counts a failure and reports whether to raise an alarm. Failures with unknown keys
// are counted under "", without an alarm, so that they take equal time.
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

// within reports whether t is less than d before now. It reports false for the zero time
// and for a time after now (a clock was set back).
func within(t, now time.Time, d time.Duration) bool {
	ago := now.Sub(t)
	return ago >= 0 && ago < d
}
