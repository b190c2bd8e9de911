package fraud_test

import (
	"fmt"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// sources returns rules that count starts by address in shadow mode.
func sources() fraud.Rules {
	return only(func(r *fraud.Rules) {
		r.Source = fraud.Source{Mode: fraud.Shadow, Window: time.Hour, Starts: 1, FailedChecks: 1}
	})
}

// sourceEntries returns an entry of one start for each of n addresses.
func sourceEntries(from, n int, now time.Time) []fraud.Entry {
	list := make([]fraud.Entry, n)
	for i := range list {
		list[i] = fraud.Entry{
			Minute: now.Unix() / 60, Account: "demo0001", Source: fmt.Sprint("address ", from+i), Counts: fraud.Counts{Starts: 1},
		}
	}
	return list
}

// startsFrom returns the starts counted for an address.
func startsFrom(s *fraud.State, i int, now time.Time) int64 {
	a := attempt("447700900001")
	a.Source = fmt.Sprint("address ", i)
	return figures(s, a, fraud.RuleSource, now).Starts
}

// TestEviction: beyond the bound the place with the oldest count is evicted: an attacker
// cannot evict the counts of the attack. An evicted place counts from 0 again.
func TestEviction(t *testing.T) {
	t.Parallel()
	const room = 120_000 // 600,000 minutes; a place takes 4 and its minutes
	s := newState(sources())
	s.Merge(sourceEntries(0, room, t0), t0)
	if places, evicted := s.Expire(t0); places != room || evicted != 0 {
		t.Fatalf("%d places and %d evicted, want %d and 0", places, evicted, room)
	}
	s.Merge(sourceEntries(0, 1, t0), t0) // the first is now the newest
	s.Merge(sourceEntries(room, 1, t0), t0)
	if places, evicted := s.Expire(t0); places != room || evicted != 1 {
		t.Errorf("%d places and %d evicted, want %d and 1", places, evicted, room)
	}
	for address, want := range map[int]int64{0: 2, 1: 0, 2: 1, room: 1} {
		if got := startsFrom(s, address, t0); got != want {
			t.Errorf("%d starts of address %d, want %d", got, address, want)
		}
	}
	s.Merge(sourceEntries(1, 1, t0), t0)
	if got := startsFrom(s, 1, t0); got != 1 {
		t.Errorf("%d starts of a place that was forgotten, want 1", got)
	}
}

// TestExpiry: a place is removed after its newest minute has left the longest window, and
// its room is free again.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newState(sources())
	keep := s.Keep()
	if keep != 61*time.Minute {
		t.Fatalf("Keep is %v, want the longest window and a minute", keep)
	}
	places := func(now time.Time, want int) {
		t.Helper()
		if n, evicted := s.Expire(now); n != want || evicted != 0 {
			t.Errorf("%d places and %d evicted at %v, want %d and 0", n, evicted, now, want)
		}
	}
	const some = 100_000
	s.Merge(sourceEntries(0, some, t0), t0)
	s.Merge(sourceEntries(0, 1, t0.Add(time.Minute)), t0.Add(time.Minute))
	s.Merge([]fraud.Entry{{Minute: t0.Unix() / 60, Range: "4477009000", Last: 1}}, t0)
	places(t0.Add(keep), some+1)
	places(t0.Add(keep+time.Minute), 1)
	now := t0.Add(keep + 2*time.Minute)
	places(now, 0)
	s.Merge(sourceEntries(0, some, now), now)
	places(now, some)
	if got := startsFrom(s, 0, now); got != 1 {
		t.Errorf("%d starts of an address that was forgotten, want 1", got)
	}
	s.Merge(sourceEntries(0, 1, now.Add(-keep-time.Minute)), now) // older than the window
	places(now, some)
	s.Merge([]fraud.Entry{{Minute: now.Unix()/60 - 62, Range: "4477009000", Last: 1}}, now)
	places(now, some)
}

// TestWindowsAreTrimmed: a place or range in long use takes no more room than its window.
func TestWindowsAreTrimmed(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]fraud.Entry{
		"minutes": sourceEntries(0, 100, time.Unix(0, 0)),
		"numbers": hundreds(4000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newState(sources())
			now, every := t0, time.Minute
			if name == "numbers" {
				every = time.Hour
			}
			// More than the bounds of 600,000 minutes and of 400,000 numbers, untrimmed.
			for step := range 650_000 / len(entries) {
				for i := range entries {
					entries[i].Minute, entries[i].Last = now.Unix()/60, step%100
				}
				s.Merge(entries, now)
				now = now.Add(every)
			}
			if places, evicted := s.Expire(now); places != len(entries) || evicted != 0 {
				t.Errorf("%d places and %d evicted, want %d and 0", places, evicted, len(entries))
			}
		})
	}
}

// hundreds returns an entry for each of n ranges of numbers.
func hundreds(n int) []fraud.Entry {
	list := make([]fraud.Entry, n)
	for i := range list {
		list[i].Range = fmt.Sprintf("447700%04d", i)
	}
	return list
}

// TestUndrainedIsBounded: at most 200,000 places wait for Drain. Beyond the bound a new
// place is dropped, and a known place still counts.
func TestUndrainedIsBounded(t *testing.T) {
	t.Parallel()
	const most = 200_000
	s := newState(sources())
	v := ended("", verify.Expired)
	v.To.Country = ""
	for i := range most + 1 {
		v.To = verify.PhoneAddress(fmt.Sprint(1_000_000+i), v.To.Country)
		s.Ended(v, t0)
	}
	v.To = verify.PhoneAddress("1000000", v.To.Country)
	s.Ended(v, t0)
	entries, _ := s.Drain()
	finished := int64(0)
	for _, e := range entries {
		finished += e.Finished
	}
	if len(entries) != most || finished != most+1 {
		t.Errorf("%d entries of %d verifications are taken, want %d of %d", len(entries), finished, most, most+1)
	}
}

// TestBlocksAreBounded: beyond 100,000 blocks the oldest is dropped. At most as many wait
// for Drain.
func TestBlocksAreBounded(t *testing.T) {
	t.Parallel()
	const most = 100_000
	s := newState(only(func(r *fraud.Rules) { r.Country.Mode = fraud.Enforce }))
	target := func(i int) fraud.Target {
		return fraud.Target{Account: fmt.Sprint(i), Kind: fraud.KindCountry, Value: "GB"}
	}
	for i := range most + 1 {
		s.Report(fraud.RuleCountry, target(i), fraud.Figures{}, t0)
	}
	for i, want := range map[int]bool{0: false, 1: true, most: true} {
		a := attempt("447700900001")
		a.Account = target(i).Account
		if got := s.Try(a, t0).Refused != nil; got != want {
			t.Errorf("block %d holds: %v, want %v", i, got, want)
		}
	}
	if _, blocks := s.Drain(); len(blocks) != most {
		t.Errorf("%d blocks are taken, want %d", len(blocks), most)
	}
}

// TestUnblocksAreBounded: an unblock beyond the bound has no effect until others end. A
// known unblock can be extended.
func TestUnblocksAreBounded(t *testing.T) {
	t.Parallel()
	const most = 10_000
	s := newState(only(func(*fraud.Rules) {}))
	exempt := func(account string, now time.Time) bool {
		a := attempt("447700900001")
		a.Account = account
		return s.Try(a, now).Exempt
	}
	list := make([]fraud.Unblock, most)
	for i := range list {
		list[i] = fraud.Unblock{Account: fmt.Sprint(i), Network: "23410", Since: t0, Until: t0.Add(time.Hour)}
	}
	s.LoadBlocks(nil, list, t0)
	more := fraud.Unblock{Account: "more0001", Network: "23410", Since: t0, Until: t0.Add(2 * time.Hour)}
	list[0].Until = t0.Add(2 * time.Hour)
	s.LoadBlocks(nil, []fraud.Unblock{more, list[0]}, t0)
	if exempt("more0001", t0) {
		t.Errorf("an unblock beyond %d is in force", most)
	}
	now := t0.Add(time.Hour)
	s.LoadBlocks(nil, []fraud.Unblock{more}, now)
	for account, want := range map[string]bool{"0": true, "1": false, "more0001": true} {
		if got := exempt(account, now); got != want {
			t.Errorf("account %s is exempt when the others are over: %v, want %v", account, got, want)
		}
	}
}

// TestNumberIsTrimmed: a number in long use keeps no more times than the windows of the
// caps need.
func TestNumberIsTrimmed(t *testing.T) {
	t.Parallel()
	caps := defaults()
	var n fraud.Number
	now := t0
	for range 30 * 24 {
		n = caps.Sent(n, "a", now)
		n, _ = caps.Failed(n, "a", now)
		n = caps.Verified(n, "b", now)
		now = now.Add(time.Hour)
	}
	if len(n.Uses) != 2 || len(n.Uses[0].Sends) != 24 || len(n.Uses[0].Failed) != 24 {
		t.Errorf("after a month %d accounts, %d sends and %d failed checks are known, want 2, 24 and 24",
			len(n.Uses), len(n.Uses[0].Sends), len(n.Uses[0].Failed))
	}
	if n = caps.Verified(n, "c", now.Add(100*24*time.Hour)); len(n.Uses) != 1 || n.Uses[0].Account != "c" {
		t.Errorf("long after, %+v is known, want one account", n.Uses)
	}
}
