package fraud

import (
	"slices"
	"time"

	"countersign/internal/verify"
)

// Caps are the limits on what may go to one number, and on the wrong codes that it
// may see, across verifications: three wrong codes end a verification, and then
// the next may begin, so that without them nothing keeps a guesser, or a flood,
// from going on (design.md §5). An empty list is no limit.
type Caps struct {
	Sends               []Window // to a number, of all accounts together
	AccountSends        []Window // of each account by itself
	FailedChecks        []Window // on a number, of all accounts together
	AccountFailedChecks []Window // of each account by itself

	// Streak is after how many failed checks in a row, without a success of the
	// account on the number, it is locked for the time of Lock, and again with each
	// further one (NIST SP 800-63B: at most 100). 0 is never.
	Streak int
	Lock   time.Duration

	// Remember is how long a success is known, and a streak that does not go on.
	Remember time.Duration
}

// Window is the most that may happen in a time that slides: in no time of that
// length is there more.
type Window struct {
	Count  int
	Within time.Duration
}

// Names returns the names that [Refusal.Cap] may have.
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

// The beginnings of the names of caps. The time of the window follows.
const (
	capStreak              = "streak" // has no window
	capSends               = "sends"
	capAccountSends        = "account_sends"
	capFailedChecks        = "failed_checks"
	capAccountFailedChecks = "account_failed_checks"
)

// Refusal says which cap keeps something from being done.
type Refusal struct {
	Cap   string    // such as sends_10m, account_failed_checks_24h, streak
	Until time.Time // when it lets the next through, if nothing else happens
	Count int       // messages, wrong codes or the length of the streak
	Limit int       // of the cap
}

// MaySend returns nil if a message may go to the number for the account. A number
// whose codes cannot be checked any more gets none either.
func (c Caps) MaySend(n Number, account string, now time.Time) *Refusal {
	if r := c.MayCheck(n, account, now); r != nil {
		return r
	}
	if r := full(capSends, c.Sends, n.sends(""), now); r != nil {
		return r
	}
	return full(capAccountSends, c.AccountSends, n.sends(account), now)
}

// MayCheck returns nil if a code for the number may be compared for the account.
func (c Caps) MayCheck(n Number, account string, now time.Time) *Refusal {
	if u := n.use(account); c.locked(u, now) {
		return &Refusal{Cap: capStreak, Until: u.LockedUntil, Count: u.Streak, Limit: c.Streak}
	}
	if r := full(capFailedChecks, c.FailedChecks, n.failed(""), now); r != nil {
		return r
	}
	return full(capAccountFailedChecks, c.AccountFailedChecks, n.failed(account), now)
}

// Sent counts a message to the number. Whoever sends has asked MaySend before.
func (c Caps) Sent(n Number, account string, now time.Time) Number {
	return c.change(n, account, now, func(u *Use) {
		if len(c.Sends)+len(c.AccountSends) > 0 {
			u.Sends = append(slices.Clone(u.Sends), now)
		}
	})
}

// Failed counts a check with a wrong code. It returns the cap that it has filled,
// if any: then no further one may be tried.
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

// Verified notes a success, which ends the streak of its account. The windows stay.
func (c Caps) Verified(n Number, account string, now time.Time) Number {
	return c.change(n, account, now, func(u *Use) {
		u.Streak, u.FailedAt, u.LockedUntil = 0, time.Time{}, time.Time{}
		u.VerifiedAt = now
	})
}

// VerifiedBefore reports whether the number was proven to the account not too long ago
// (see Remember); to any account, if it is "". Such a number passes the guards, but
// never the caps.
func (c Caps) VerifiedBefore(n Number, account string, now time.Time) bool {
	return slices.ContainsFunc(n.Uses, func(u Use) bool {
		at := u.VerifiedAt
		return (account == "" || u.Account == account) &&
			!at.IsZero() && now.Before(at.Add(c.Remember)) && !verify.FromFuture(at, now)
	})
}

// Cleared forgets all that is counted, and lifts the locks. Successes stay known.
func (c Caps) Cleared(n Number, now time.Time) Number {
	kept := slices.Clone(n.Uses)
	for i, u := range kept {
		kept[i] = Use{Account: u.Account, VerifiedAt: u.VerifiedAt}
	}
	return c.pruned(Number{kept}, now)
}

// Counts reports whether anything is counted that Cleared forgets, or a lock holds.
func (c Caps) Counts(n Number, now time.Time) bool {
	return slices.ContainsFunc(c.pruned(n, now).Uses, func(u Use) bool {
		return len(u.Sends)+len(u.Failed)+u.Streak > 0 || !u.LockedUntil.IsZero()
	})
}

// StaleAt is when nothing of what is known of the number matters any more.
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

// change gives n with the use of one account changed, and without what is too old
// to matter. It leaves n as it is.
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

// pruned is a copy without what is too old to matter.
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

// locked reports whether a streak locks the number for an account. A lock that was set
// by a clock that was ahead does not count.
func (c Caps) locked(u Use, now time.Time) bool {
	return now.Before(u.LockedUntil) && !verify.FromFuture(u.LockedUntil.Add(-c.Lock), now)
}

// within returns the times less than d before now. Times a little ahead, by the clock
// of another node, count; those from the future do not.
func within(times []time.Time, now time.Time, d time.Duration) []time.Time {
	out := func(t time.Time) bool { return now.Sub(t) >= d || verify.FromFuture(t, now) }
	if !slices.ContainsFunc(times, out) {
		return times
	}
	return slices.DeleteFunc(slices.Clone(times), out)
}

// full returns the window among several that has no room for one more; of those the
// one that has none for longest.
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

// name is the time of the window, such as 10m or 24h.
func (w Window) name() string {
	text := w.Within.String() // such as 24h0m0s
	for _, zero := range []string{"m0s", "h0m"} {
		if len(text) > len(zero) && text[len(text)-len(zero):] == zero {
			text = text[:len(text)-len(zero)+1]
		}
	}
	return text
}
