package fraud_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

func newState(rules fraud.Rules) *fraud.State {
	networks := fraud.Networks{{Prefix: "44770", Name: "23410"}, {Prefix: "447701", Name: "23415"}}
	return fraud.NewState(rules, networks, rand.NewChaCha8([32]byte{}))
}

func attempt(number string) fraud.Attempt {
	return fraud.Attempt{Account: "demo0001", Number: number, Country: "GB"}
}

func ended(number string, status verify.Status) verify.Verification {
	return verify.Verification{Request: verify.Request{Account: "demo0001", To: verify.PhoneAddress(number, "GB")}, Status: status}
}

// play starts and ends verifications of a prefix; the first ones succeed.
func play(s *fraud.State, successes, failures int, now time.Time) {
	for i := range successes + failures {
		number := fmt.Sprintf("4477009%05d", i*100)
		s.Pass(attempt(number), now)
		status := verify.Success
		if i >= successes {
			status = verify.Expired
		}
		s.Ended(ended(number, status), now)
	}
}

// TestRules: the rule, target and figures of each block.
func TestRules(t *testing.T) {
	t.Parallel()
	limits := func(l fraud.Limits) fraud.Attempt {
		a := attempt("447700999999")
		a.Limits = l
		return a
	}
	plain := attempt("447700999999")
	for name, tt := range map[string]struct {
		rules   func(*fraud.Rules)
		before  func(*fraud.State)
		attempt fraud.Attempt
		rule    fraud.Rule // "" if permitted
		target  fraud.Target
		limit   float64
	}{
		"nothing": {before: func(*fraud.State) {}, attempt: plain},
		"one of ten in conversion": {
			before: func(s *fraud.State) { play(s, 2, 28, t0) }, attempt: plain,
			rule: fraud.RuleConversion, target: fraud.Target{Account: "demo0001", Kind: fraud.KindPrefix, Value: "4477009"}, limit: 10,
		},
		"too few to tell":            {before: func(s *fraud.State) { play(s, 2, 27, t0) }, attempt: plain},
		"just enough conversion":     {before: func(s *fraud.State) { play(s, 3, 27, t0) }, attempt: plain},
		"conversion of an hour ago":  {before: func(s *fraud.State) { play(s, 0, 30, t0.Add(-time.Hour)) }, attempt: plain},
		"conversion of 59 minutes":   {before: func(s *fraud.State) { play(s, 0, 30, t0.Add(-59*time.Minute)) }, attempt: plain, rule: fraud.RuleConversion},
		"another account":            {before: func(s *fraud.State) { play(s, 0, 30, t0) }, attempt: fraud.Attempt{Account: "other001", Number: plain.Number}},
		"another prefix and network": {before: func(s *fraud.State) { play(s, 0, 30, t0) }, attempt: attempt("33612345678")},
		"another prefix of the network": {
			before: func(s *fraud.State) { play(s, 0, 30, t0) }, attempt: attempt("447702000000"),
			rule: fraud.RuleConversion, target: fraud.Target{Account: "demo0001", Kind: fraud.KindNetwork, Value: "23410"}, limit: 10,
		},
		"a network within the other":  {before: func(s *fraud.State) { play(s, 0, 30, t0) }, attempt: attempt("447701000000")},
		"an account's own conversion": {before: func(s *fraud.State) { play(s, 3, 27, t0) }, attempt: limits(fraud.Limits{Below: 20}), rule: fraud.RuleConversion, limit: 20},
		"an account's own number":     {before: func(s *fraud.State) { play(s, 0, 5, t0) }, attempt: limits(fraud.Limits{Finished: 5}), rule: fraud.RuleConversion},
		"an account without rules":    {before: func(s *fraud.State) { play(s, 0, 60, t0) }, attempt: limits(fraud.Limits{Mode: fraud.Off})},
		"all accounts": {
			rules:   func(r *fraud.Rules) { r.Conversion.All = fraud.Enforce },
			before:  func(s *fraud.State) { play(s, 0, 30, t0) },
			attempt: fraud.Attempt{Account: "other001", Number: plain.Number}, rule: fraud.RuleConversionAll, target: fraud.Target{Kind: fraud.KindPrefix, Value: "4477009"},
		},
		"thirty that nobody verified": {
			before: func(s *fraud.State) {
				for i := range 30 {
					s.Start(attempt(fmt.Sprintf("4477009%05d", i*100)), t0)
				}
			},
			attempt: plain, rule: fraud.RuleUnverified, target: fraud.Target{Account: "demo0001", Kind: fraud.KindPrefix, Value: "4477009"}, limit: 30,
		},
		"eight in a row": {
			before: func(s *fraud.State) {
				for i := range 7 {
					s.Start(attempt(fmt.Sprintf("4477009999%02d", i)), t0)
				}
			},
			attempt: plain, rule: fraud.RuleSequence, target: fraud.Target{Kind: fraud.KindRange, Value: "4477009999"}, limit: 8,
		},
		"seven again and again": {
			before: func(s *fraud.State) {
				for i := range 29 {
					s.Start(attempt(fmt.Sprintf("4477009999%02d", i%7)), t0)
				}
			},
			attempt: attempt("447700999900"),
		},
		"a cap on the prefix": {
			rules:   func(r *fraud.Rules) { r.Prefix.Starts = 5 },
			before:  func(s *fraud.State) { play(s, 5, 0, t0) },
			attempt: plain, rule: fraud.RulePrefix, limit: 5,
		},
		"a cap on the network": {
			rules:   func(r *fraud.Rules) { r.Network.Mode, r.Network.Starts = fraud.Enforce, 5 },
			before:  func(s *fraud.State) { play(s, 5, 0, t0) },
			attempt: attempt("447702000000"), rule: fraud.RuleNetwork, target: fraud.Target{Account: "demo0001", Kind: fraud.KindNetwork, Value: "23410"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := defaultRules()
			if tt.rules != nil {
				tt.rules(&rules)
			}
			s := newState(rules)
			tt.before(s)
			d := s.Start(tt.attempt, t0)
			if d.Refused == nil {
				if tt.rule != "" {
					t.Fatalf("it passes, want %s", tt.rule)
				}
				return
			}
			b := *d.Refused
			if b.Rule != tt.rule || tt.target != (fraud.Target{}) && b.Target != tt.target || tt.limit != 0 && b.Figures.Limit != tt.limit {
				t.Fatalf("refused by %+v, want %s of %+v at %v", b, tt.rule, tt.target, tt.limit)
			}
			shadow := newState(inShadow(rules))
			tt.before(shadow)
			if d := shadow.Start(tt.attempt, t0); d.Refused != nil || len(d.Would) == 0 || d.Would[0].Action != fraud.ActionShadow {
				t.Errorf("in shadow mode: %+v", d)
			}
		})
	}
}

func inShadow(r fraud.Rules) fraud.Rules {
	for _, m := range []*fraud.Mode{
		&r.Conversion.Mode, &r.Conversion.All, &r.Sequence.Mode, &r.Unverified.Mode, &r.Prefix.Mode, &r.Network.Mode, &r.Source.Mode,
	} {
		if *m == fraud.Enforce {
			*m = fraud.Shadow
		}
	}
	return r
}

// TestRepeats: each repeated block of a network is longer, until the last has no end; after
// a quiet period the sequence starts again.
func TestRepeats(t *testing.T) {
	t.Parallel()
	rules := defaultRules()
	rules.Unverified.Mode = fraud.Off
	s, now := newState(rules), t0
	block := func() fraud.Block {
		t.Helper()
		play(s, 0, 30, now)
		d := s.Start(attempt("447700999999"), now)
		if d.Refused == nil {
			t.Fatalf("at %v it passes", now)
		}
		return *d.Refused
	}
	for i, want := range []time.Duration{20 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 0} {
		b := block()
		if b.Repeat != i+1 || want == 0 != b.Until.IsZero() || want > 0 && b.Until.Sub(b.Since) != want {
			t.Fatalf("block %d is %+v, want %v", i+1, b, want)
		}
		if now = now.Add(max(want, 90*24*time.Hour*time.Duration(i/4))); want > 0 {
			if d := s.Start(attempt("447700999999"), now); d.Refused != nil {
				t.Fatalf("after block %d: %+v", i+1, d.Refused)
			}
			now = now.Add(time.Minute)
		}
	}
	if d := s.Start(attempt("447700999999"), now); d.Refused == nil {
		t.Error("the last block has an end")
	}

	s, now = newState(rules), t0
	block()
	now = now.Add(20*time.Minute + 24*time.Hour)
	if b := block(); b.Repeat != 1 {
		t.Errorf("after a quiet day: %+v", b)
	}
}

// TestBounded: for starts in any order, no more than the base number and the share of the
// successes pass, and the drained counts equal the starts.
func TestBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := fraud.Rules{RepeatWithin: time.Hour, Unverified: fraud.Unverified{
			Mode: fraud.Enforce, Window: time.Hour, Prefix: rapid.IntRange(1, 20).Draw(t, "floor"), Country: 1000,
			Percent: rapid.IntRange(0, 400).Draw(t, "percent"), Blocks: []time.Duration{time.Minute},
		}}
		s, now := newState(rules), t0
		started, successes, told := 0, 0, int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			number := fmt.Sprintf("4477009%05d", rapid.IntRange(0, 99_999).Draw(t, "number"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				if successes < started {
					successes++
					s.Ended(ended(number, verify.Success), now)
				}
			case 1:
				now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
			default:
				if d := s.Start(attempt(number), now); d.Refused == nil {
					started++
				}
			}
			if budget := rules.Unverified.Prefix + successes*rules.Unverified.Percent/100; started-successes > budget {
				t.Fatalf("%d started and %d verified, more than %d", started, successes, budget)
			}
		}
		entries, _ := s.Drain()
		for _, e := range entries {
			told += e.Starts
		}
		if told != int64(started) {
			t.Fatalf("%d drained, %d started", told, started)
		}
	})
}

// TestSudden: a volume far above the usual is sudden.
func TestSudden(t *testing.T) {
	t.Parallel()
	conf := defaultRules().Country
	for name, tt := range map[string]struct {
		volume int64
		before []int64
		want   bool
	}{
		"never before":         {201, []int64{0, 0, 0, 0}, true},
		"too little":           {200, []int64{0, 0, 0, 0}, false},
		"too new":              {5000, []int64{0, 0, 0}, false},
		"as ever":              {1000, []int64{900, 1100, 1000, 950}, false},
		"twice as ever":        {2000, []int64{900, 1100, 1000, 950}, true},
		"as on some days":      {2000, []int64{0, 2000, 0, 1900}, false},
		"a little more at all": {300, []int64{255, 255, 255, 255}, false},
	} {
		if _, got := conf.Sudden(tt.volume, tt.before); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	spend := defaultRules().Spend
	day := 2 * verify.Unit
	for name, tt := range map[string]struct {
		today  verify.Money
		before []verify.Money
		want   bool
	}{
		"ten times":          {20 * verify.Unit, []verify.Money{day, day, day, 0, day, day, day}, false},
		"more":               {20*verify.Unit + 1, []verify.Money{day, day, day, 0, day, day, day}, true},
		"more than a little": {10*verify.Unit + 1, make([]verify.Money, 7), true},
		"a little":           {10 * verify.Unit, make([]verify.Money, 7), false},
	} {
		if _, got := spend.Spent(tt.today, tt.before); got != tt.want {
			t.Errorf("spent %s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestLift: after an operator lifts a block, earlier counts do not block again, and a later
// block is no repeat. After a lift by an account, both do.
func TestLift(t *testing.T) {
	t.Parallel()
	unverified := func(s *fraud.State, from int, now time.Time) fraud.Decision {
		for i := range 29 {
			s.Start(attempt(fmt.Sprintf("4477009%05d", (from+i)*100)), now)
		}
		return s.Start(attempt(fmt.Sprintf("4477009%05d", (from+30)*100)), now)
	}
	sequence := func(s *fraud.State, from int, now time.Time) (d fraud.Decision) {
		for i := range 8 {
			d = s.Start(attempt(fmt.Sprintf("4477009999%02d", from+i)), now)
		}
		return d
	}
	for name, tt := range map[string]struct {
		rule  fraud.Rule
		begin func(s *fraud.State, from int, now time.Time) fraud.Decision // the last is at the limit, or the next
	}{
		"sequence": {fraud.RuleSequence, sequence},
		"unverified": {fraud.RuleUnverified, func(s *fraud.State, from int, now time.Time) fraud.Decision {
			unverified(s, from, now)
			return unverified(s, from+31, now)
		}},
	} {
		for by, anew := range map[string]bool{"operator": true, fraud.LiftedByAccount: false} {
			t.Run(name+" by "+by, func(t *testing.T) {
				t.Parallel()
				s := newState(defaultRules())
				d := tt.begin(s, 0, t0)
				if d.Refused == nil || d.Refused.Rule != tt.rule || d.Refused.Repeat != 1 {
					t.Fatalf("refused by %+v, want %s", d.Refused, tt.rule)
				}
				lifted := *d.Refused
				lifted.LiftedAt, lifted.LiftedBy = t0, by
				s.LoadBlocks([]fraud.Block{lifted}, nil, t0)
				now := t0.Add(time.Minute)
				d = s.Start(attempt("447700999950"), now)
				if !anew {
					if d.Refused == nil || d.Refused.Repeat != 2 {
						t.Errorf("refused by %+v, want a repeat", d.Refused)
					}
					return
				}
				if d.Refused != nil {
					t.Fatalf("lifted, and refused again by %+v", d.Refused)
				}
				d = tt.begin(s, 60, now)
				if d.Refused == nil || d.Refused.Rule != tt.rule || d.Refused.Repeat != 1 {
					t.Fatalf("refused by %+v, want %s for the first time", d.Refused, tt.rule)
				}
			})
		}
	}
}
