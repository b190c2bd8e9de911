package fraud

import (
	"cmp"
	"slices"
	"time"
)

// Count is the use of one cap of a number.
type Count struct {
	Cap     string    // such as sends_10m, see Refusal
	Account string    // "" for all accounts together
	Count   int       // current count
	Limit   int       // maximum count
	Until   time.Time // when the cap permits the next operation; zero if it does now
	Resets  time.Time // when the count returns to 0; zero if it is 0, and for a streak
}

// Status returns the use of each cap of a number: first for all accounts together, then for
// each account that has used the number recently.
func (c Caps) Status(n Number, now time.Time) []Count {
	list := slices.Concat(
		counts("sends", "", c.Sends, n.sends(""), now),
		counts("failed_checks", "", c.FailedChecks, n.failed(""), now),
	)
	n = c.pruned(n, now)
	slices.SortFunc(n.Uses, func(a, b Use) int { return cmp.Compare(a.Account, b.Account) })
	for _, u := range n.Uses {
		list = append(list, counts("account_sends", u.Account, c.AccountSends, u.Sends, now)...)
		list = append(list, counts("account_failed_checks", u.Account, c.AccountFailedChecks, u.Failed, now)...)
		if c.Streak > 0 {
			list = append(list, Count{Cap: "streak", Account: u.Account, Count: u.Streak, Limit: c.Streak, Until: u.LockedUntil})
		}
	}
	return list
}

func counts(name, account string, windows []Window, times []time.Time, now time.Time) (list []Count) {
	for _, w := range windows {
		inside := within(times, now, w.Within)
		count := Count{Cap: name + "_" + w.name(), Account: account, Count: len(inside), Limit: w.Count}
		if len(inside) > 0 {
			count.Resets = slices.MaxFunc(inside, time.Time.Compare).Add(w.Within)
		}
		if r := full(name, []Window{w}, times, now); r != nil {
			count.Until = r.Until
		}
		list = append(list, count)
	}
	return list
}
