package fraud_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// only returns rules that are off except as set by change.
func only(change func(*fraud.Rules)) fraud.Rules {
	r := fraud.Rules{
		RepeatWithin: 24 * time.Hour,
		Conversion:   fraud.Conversion{Mode: fraud.Off, All: fraud.Off}, Sequence: fraud.Sequence{Mode: fraud.Off},
		Unverified: fraud.Unverified{Mode: fraud.Off}, Prefix: fraud.Volume{Mode: fraud.Off}, Network: fraud.Volume{Mode: fraud.Off},
		Source: fraud.Source{Mode: fraud.Off}, Country: fraud.Country{Mode: fraud.Off}, Spend: fraud.Spend{Mode: fraud.Off},
		Voice: fraud.Voice{Mode: fraud.Off},
	}
	change(&r)
	return r
}

// probing returns rules in shadow mode with a limit of 1. Try then reports the counts of the prefix,
// of the network and of the hundred of a number, each in its own window.
func probing(prefix, network, hundred time.Duration) fraud.Rules {
	return only(func(r *fraud.Rules) {
		r.Prefix = fraud.Volume{Mode: fraud.Shadow, Window: prefix, Starts: 1}
		r.Network = fraud.Volume{Mode: fraud.Shadow, Window: network, Starts: 1}
		r.Sequence = fraud.Sequence{Mode: fraud.Shadow, Window: hundred, Numbers: 1}
	})
}

// figures returns the figures of a rule for an attempt; zero if the rule would permit it.
func figures(s *fraud.State, a fraud.Attempt, rule fraud.Rule, now time.Time) fraud.Figures {
	for _, b := range s.Try(a, now).Would {
		if b.Rule == rule {
			return b.Figures
		}
	}
	return fraud.Figures{}
}

// TestCountsOfAnyOrder: entries of other nodes may be late or slightly ahead. The sum of
// every window is the sum of its minutes, and a number of a range counts once.
func TestCountsOfAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		window := func(label string) int { return rapid.IntRange(1, 90).Draw(t, label) }
		prefix, network, hundred := window("prefix"), window("network"), window("hundred")
		s := newState(probing(time.Duration(prefix)*time.Minute, time.Duration(network)*time.Minute, time.Duration(hundred)*time.Minute))
		now, a := t0, attempt("447700900055")
		starts, numbers := map[int64]int64{}, map[int]int64{} // starts by minute; newest minute by last digits
		sum := func(window int) (n int64) {
			for minute, starts := range starts {
				if minute > now.Unix()/60-int64(window) {
					n += starts
				}
			}
			return n
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			minute := now.Unix()/60 - int64(rapid.IntRange(-7, 100).Draw(t, "age"))
			ahead := minute > now.Add(verify.FutureTolerance).Unix()/60
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				n := int64(rapid.IntRange(1, 9).Draw(t, "starts"))
				s.Merge([]fraud.Entry{{
					Minute: minute, Account: a.Account, Country: "GB", Network: "23410", Prefix: "4477009", Counts: fraud.Counts{Starts: n},
				}}, now)
				if !ahead {
					starts[minute] += n
				}
			case 2:
				last := rapid.IntRange(50, 60).Draw(t, "last")
				s.Merge([]fraud.Entry{{Minute: minute, Range: "4477009000", Last: last}}, now)
				if !ahead {
					numbers[last] = max(numbers[last], minute)
				}
			case 3:
				s.Pass(a, now)
				starts[now.Unix()/60]++
				numbers[55] = max(numbers[55], now.Unix()/60)
			default:
				now = now.Add(time.Duration(rapid.IntRange(1, 1200).Draw(t, "seconds")) * time.Second)
				s.Expire(now)
			}
			if got := figures(s, a, fraud.RulePrefix, now).Starts; got != sum(prefix) {
				t.Fatalf("%d starts in %d minutes, want %d", got, prefix, sum(prefix))
			}
			if got := figures(s, a, fraud.RuleNetwork, now).Starts; got != sum(network) {
				t.Fatalf("%d starts in %d minutes on the network, want %d", got, network, sum(network))
			}
			distinct := 1 // the number of the attempt
			for last, minute := range numbers {
				if last != 55 && minute > now.Unix()/60-int64(hundred) {
					distinct++
				}
			}
			if got := figures(s, a, fraud.RuleSequence, now).Numbers; got != distinct {
				t.Fatalf("%d numbers in %d minutes, want %d", got, hundred, distinct)
			}
		}
	})
}

// TestTakenIsLearned: a node that merges the entries of another has the same counts:
// starts, outcomes, calls, prices, and failed checks of addresses, of the account and of
// all accounts.
func TestTakenIsLearned(t *testing.T) {
	t.Parallel()
	rules := probing(time.Hour, time.Hour, time.Hour)
	rules.Conversion = fraud.Conversion{Mode: fraud.Off, All: fraud.Shadow, Window: time.Hour, Finished: 1, Below: 101}
	rules.Source = fraud.Source{Mode: fraud.Shadow, Window: time.Hour, Starts: 1, FailedChecks: 1}
	rules.Voice = fraud.Voice{Mode: fraud.Shadow, CallsPerHour: 1}
	teller, learner := newState(rules), newState(rules)
	a := attempt("447700900055")
	a.Source, a.Price = "192.0.2.1", 7
	v := ended(a.Number, verify.Success)
	other := attempt("447700900057")
	other.Account = "other001"
	for _, of := range []fraud.Attempt{a, a, other} {
		teller.Start(of, t0)
	}
	teller.TakeBack(a, t0)
	teller.Sent(v, v.To, t0)
	teller.Call(a.Account, a.Number, "GB", t0)
	teller.Failed(v, a.Source, t0)
	teller.Ended(v, t0)
	teller.Ended(ended(a.Number, verify.Expired), t0)

	entries, blocks := teller.Drain()
	learner.Merge(entries, t0)
	if entries, blocks := learner.Drain(); len(entries)+len(blocks) != 0 {
		t.Errorf("learned counts are taken again: %+v, %+v", entries, blocks)
	}
	if again, more := teller.Drain(); len(again)+len(more) != 0 {
		t.Errorf("taken twice: %+v, %+v", again, more)
	}
	if len(blocks) == 0 {
		t.Error("no block is taken")
	}
	for _, e := range entries {
		if e.Counts == (fraud.Counts{}) && e.Range == "" {
			t.Errorf("an entry without counts is taken: %+v", e)
		}
		kinds := 0
		for _, of := range []string{e.Prefix, e.Source, e.Range} {
			kinds += min(len(of), 1)
		}
		if kinds != 1 {
			t.Errorf("an entry has %d of prefix, source and range: %+v", kinds, e)
		}
	}
	own := fraud.Counts{Starts: 1, Sends: 1, Calls: 1, Successes: 1, Finished: 2, FailedChecks: 1, Spend: 7}
	all := own.Plus(fraud.Counts{Starts: 1})
	seen := map[string]fraud.Figures{}
	for _, b := range learner.Try(a, t0).Would {
		seen[fmt.Sprintf("%s %s %q", b.Rule, b.Kind, b.Account)] = b.Figures
	}
	for key, want := range map[string]fraud.Counts{
		`prefix prefix "demo0001"`:   own,
		`network network "demo0001"`: own,
		`conversion_all prefix ""`:   all,
		`conversion_all network ""`:  all,
		`source source "demo0001"`:   {Starts: 1, FailedChecks: 1},
	} {
		if got := seen[key].Counts; got != want {
			t.Errorf("%s: %+v, want %+v", key, got, want)
		}
	}
	if got := seen[`sequence range ""`].Numbers; got != 2 {
		t.Errorf("%d numbers of the hundred, want 2", got)
	}
	if d := learner.Call(a.Account, a.Number, "GB", t0); len(d.Would) != 1 || d.Would[0].Figures.Calls != 1 {
		t.Errorf("a call: %+v, want the one before counted", d)
	}
	if d := learner.MayCheck(a.Account, a.Source, t0); len(d.Would) != 1 || d.Would[0].Figures.FailedChecks != 1 {
		t.Errorf("a check: %+v, want the failed one before counted", d)
	}
}

// TestClockSetBack: after a clock was corrected, counts in minutes from the future are
// ignored. Counts of other minutes are kept.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	s := newState(probing(time.Hour, time.Hour, time.Hour))
	a := attempt("447700900055")
	for i, after := range []time.Duration{0, 5 * time.Minute, 6 * time.Minute, 7 * time.Minute} {
		s.Pass(attempt(fmt.Sprintf("4477009000%02d", i)), t0.Add(after))
	}
	for _, tt := range []struct {
		now     time.Duration
		starts  int64
		numbers int // without the number of the attempt
	}{
		{now: 7 * time.Minute, starts: 4, numbers: 5},
		{now: 2 * time.Minute, starts: 4, numbers: 5}, // all are within the tolerance
		{now: time.Minute, starts: 3, numbers: 4},
		{now: 0, starts: 2, numbers: 3},
		{now: time.Minute, starts: 2, numbers: 3},
	} {
		s.Expire(t0.Add(tt.now))
		if got := figures(s, a, fraud.RulePrefix, t0.Add(tt.now)).Starts; got != tt.starts {
			t.Errorf("%d starts at minute %v, want %d", got, tt.now, tt.starts)
		}
		if got := figures(s, a, fraud.RuleSequence, t0.Add(tt.now)).Numbers; got != tt.numbers {
			t.Errorf("%d numbers at minute %v, want %d", got, tt.now, tt.numbers)
		}
	}
}

// TestClockSetBackAtUse: a decision ignores counts from the future before the next Expire.
func TestClockSetBackAtUse(t *testing.T) {
	t.Parallel()
	later := t0.Add(time.Hour)
	rules := only(func(r *fraud.Rules) {
		r.Source = fraud.Source{Mode: fraud.Enforce, Window: time.Hour, FailedChecks: 1}
		r.Voice = fraud.Voice{Mode: fraud.Enforce, CallsPerHour: 1}
	})
	s := newState(rules)
	s.Failed(ended("447700900001", verify.Expired), "192.0.2.1", later)
	if d := s.MayCheck("demo0001", "192.0.2.1", t0); d.Refused != nil {
		t.Errorf("a check is refused by %+v", d.Refused)
	}
	s = newState(rules)
	s.Call("demo0001", "447700900001", "GB", later)
	if d := s.Call("demo0001", "447700900001", "GB", t0); d.Refused != nil {
		t.Errorf("a call is refused by %+v", d.Refused)
	}
}
