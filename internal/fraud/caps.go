package fraud

import (
	"slices"
	"time"

	"countersign/internal/verify"
)

// Caps limit the messages to a number and the wrong codes for it across verifications.
// Three wrong codes end a verification, but another may begin; without caps, guesses and
// floods could continue. An empty list is no limit.
type Caps struct {
	Sends               []Window // messages to a number, all accounts together
	AccountSends        []Window // messages to a number, for each account
	FailedChecks        []Window // failed checks of a number, all accounts together
	AccountFailedChecks []Window // failed checks of a number, for each account

	// Streak is the number of consecutive failed checks, without a success of the account
	// on the number, that locks the number for the account for Lock. Each further one locks
	// it again (NIST SP 800-63B: at most 100). 0 means never.
	Streak int
	Lock   time.Duration

	// Remember is the lifetime of a success, and of a streak that does not continue.
	Remember time.Duration
}

// Window is the maximum number of events within any period of a duration (a sliding
// window).
type Window struct {
	Count  int
	Within time.Duration
}

// Names returns all possible values of [Refusal.Cap].
func (c Caps) Names() (names []string) {
	if c.Streak > 0 {
		names = append(names, capStreak)
	}
	for _, of := range []struct {
		name    string
		windows []Window
	}{
		{capSends, c.Sends}, {capAccountSends, c.AccountSends},
		{capFailedChecks, c.FailedChecks}, {capAccountFailedChecks, c.AccountFailedChecks},
	} {
		for _, w := range of.windows {
			names = append(names, of.name+"_"+w.name())
		}
	}
	return names
}

// The prefixes of the names of caps. The duration of the window follows.
const (
	capStreak              = "streak" // has no window
	capSends               = "sends"
	capAccountSends        = "account_sends"
	capFailedChecks        = "failed_checks"
	capAccountFailedChecks = "account_failed_checks"
)

// Refusal identifies the cap that forbids an operation.
type Refusal struct {
	Cap   string    // such as sends_10m, account_failed_checks_24h, streak
	Until time.Time // when the cap permits the next operation, if no other is counted
	Count int       // messages, wrong codes or the length of the streak
	Limit int       // limit of the cap
}

// MaySend returns nil if a message to the number is permitted for the account. If no check
// is permitted, no message is either.
func (c Caps) MaySend(n Number, account string, now time.Time) *Refusal {
	if r := c.MayCheck(n, account, now); r != nil {
		return r
	}
	if r := full(capSends, c.Sends, n.sends(""), now); r != nil {
		return r
	}
	return full(capAccountSends, c.AccountSends, n.sends(account), now)
}

// MayCheck returns nil if a check of the number is permitted for the account.
func (c Caps) MayCheck(n Number, account string, now time.Time) *Refusal {
	if u := n.use(account); c.locked(u, now) {
		return &Refusal{Cap: capStreak, Until: u.LockedUntil, Count: u.Streak, Limit: c.Streak}
	}
	if r := full(capFailedChecks, c.FailedChecks, n.failed(""), now); r != nil {
		return r
	}
	return full(capAccountFailedChecks, c.AccountFailedChecks, n.failed(account), now)
}

// Sent counts a message to the number. Call MaySend before.
func (c Caps) Sent(n Number, account string, now time.Time) Number {
	return c.change(n, account, now, func(u *Use) {
		if len(c.Sends)+len(c.AccountSends) > 0 {
			u.Sends = append(slices.Clone(u.Sends), now)
		}
	})
}

// Failed counts a check with a wrong code. It returns the cap that forbids further checks,
// or nil.
func (c Caps) Failed(n Number, account string, now time.Time) (Number, *Refusal) {
	n = c.change(n, account, now, func(u *Use) {
		if len(c.FailedChecks)+len(c.AccountFailedChecks) > 0 {
			u.Failed = append(slices.Clone(u.Failed), now)
		}
		if c.Streak == 0 {
			return
		}
		u.Streak, u.FailedAt = u.Streak+1, now
		if u.Streak >= c.Streak {
			u.LockedUntil = now.Add(c.Lock)
		}
	})
	return n, c.MayCheck(n, account, now)
}

// Verified records a success, which ends the account's streak. The windows are kept.
func (c Caps) Verified(n Number, account string, now time.Time) Number {
	return c.change(n, account, now, func(u *Use) {
		u.Streak, u.FailedAt, u.LockedUntil = 0, time.Time{}, time.Time{}
		u.VerifiedAt = now
	})
}

// VerifiedBefore reports whether the account (any account if "") verified the number within
// Remember. Such a number is exempt from the rules, but never from the caps.
func (c Caps) VerifiedBefore(n Number, account string, now time.Time) bool {
	return slices.ContainsFunc(n.Uses, func(u Use) bool {
		at := u.VerifiedAt
		return (account == "" || u.Account == account) &&
			!at.IsZero() && now.Before(at.Add(c.Remember)) && !verify.FromFuture(at, now)
	})
}

// Cleared resets all counts and locks. Successes are kept.
func (c Caps) Cleared(n Number, now time.Time) Number {
	kept := slices.Clone(n.Uses)
	for i, u := range kept {
		kept[i] = Use{Account: u.Account, VerifiedAt: u.VerifiedAt}
	}
	return c.pruned(Number{kept}, now)
}

// Counts reports whether the number has counts or a lock that Cleared would reset.
func (c Caps) Counts(n Number, now time.Time) bool {
	return slices.ContainsFunc(c.pruned(n, now).Uses, func(u Use) bool {
		return len(u.Sends)+len(u.Failed)+u.Streak > 0 || !u.LockedUntil.IsZero()
	})
}

// StaleAt returns the time after which the history of the number has no effect.
func (c Caps) StaleAt(n Number) time.Time {
	var at time.Time
	later := func(t time.Time, by time.Duration) {
		if !t.IsZero() && t.Add(by).After(at) {
			at = t.Add(by)
		}
	}
	for _, u := range n.Uses {
		for _, t := range u.Sends {
			later(t, c.longestSend())
		}
		for _, t := range u.Failed {
			later(t, c.longestFailed())
		}
		later(u.LockedUntil, 0)
		later(u.FailedAt, c.Remember)
		later(u.VerifiedAt, c.Remember)
	}
	return at
}

func (c Caps) longestSend() time.Duration   { return longest(c.Sends, c.AccountSends) }
func (c Caps) longestFailed() time.Duration { return longest(c.FailedChecks, c.AccountFailedChecks) }

func longest(lists ...[]Window) (d time.Duration) {
	for _, w := range slices.Concat(lists...) {
		d = max(d, w.Within)
	}
	return d
}

// change returns a copy of n with the use of one account changed and expired data removed.
func (c Caps) change(n Number, account string, now time.Time, do func(*Use)) Number {
	n = c.pruned(n, now)
	i := slices.IndexFunc(n.Uses, func(u Use) bool { return u.Account == account })
	if i < 0 {
		i = len(n.Uses)
		n.Uses = append(n.Uses, Use{Account: account})
	}
	do(&n.Uses[i])
	if n.Uses[i].empty() {
		n.Uses = slices.Delete(n.Uses, i, i+1)
	}
	return n
}

// pruned returns a copy without expired data.
func (c Caps) pruned(n Number, now time.Time) Number {
	kept := make([]Use, 0, len(n.Uses)+1)
	for _, u := range n.Uses {
		u.Sends = within(u.Sends, now, c.longestSend())
		u.Failed = within(u.Failed, now, c.longestFailed())
		if !now.Before(u.FailedAt.Add(c.Remember)) || verify.FromFuture(u.FailedAt, now) {
			u.Streak, u.FailedAt = 0, time.Time{}
		}
		if !c.locked(u, now) {
			u.LockedUntil = time.Time{}
		}
		if !now.Before(u.VerifiedAt.Add(c.Remember)) || verify.FromFuture(u.VerifiedAt, now) {
			u.VerifiedAt = time.Time{}
		}
		if !u.empty() {
			kept = append(kept, u)
		}
	}
	return Number{kept}
}

// locked reports whether a streak locks the number for an account. A lock set by a clock
// that was ahead is ignored.
func (c Caps) locked(u Use, now time.Time) bool {
	return now.Before(u.LockedUntil) && !verify.FromFuture(u.LockedUntil.Add(-c.Lock), now)
}

// within returns the times less than d before now. Times slightly ahead, from the clock of
// another node, count; times from the future do not.
func within(times []time.Time, now time.Time, d time.Duration) []time.Time {
	out := func(t time.Time) bool { return now.Sub(t) >= d || verify.FromFuture(t, now) }
	if !slices.ContainsFunc(times, out) {
		return times
	}
	return slices.DeleteFunc(slices.Clone(times), out)
}

// full returns the full window with the latest Until, or nil.
func full(name string, windows []Window, times []time.Time, now time.Time) (worst *Refusal) {
	for _, w := range windows {
		if len(times) < w.Count {
			continue
		}
		inside := within(times, now, w.Within)
		if len(inside) < w.Count {
			continue
		}
		inside = slices.SortedFunc(slices.Values(inside), time.Time.Compare)
		until := inside[len(inside)-w.Count].Add(w.Within)
		if worst == nil || until.After(worst.Until) {
			worst = &Refusal{Cap: name + "_" + w.name(), Until: until, Count: len(inside), Limit: w.Count}
		}
	}
	return worst
}

// name returns the duration of the window, such as 10m or 24h.
func (w Window) name() string {
	text := w.Within.String() // such as 24h0m0s
	for _, zero := range []string{"m0s", "h0m"} {
		if len(text) > len(zero) && text[len(text)-len(zero):] == zero {
			text = text[:len(text)-len(zero)+1]
		}
	}
	return text
}
