package fraud_test

import (
	"slices"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// TestSources: the starts and failed checks of an address count toward its limits for its
// account; 0 and off are no limit.
func TestSources(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		mode           fraud.Mode
		starts, checks int // limits
		limits         fraud.Limits
		wantStarts     int // starts of 4 that pass
		wantChecks     int
		told           int64 // events of the address
	}{
		"enforced":      {fraud.Enforce, 2, 3, fraud.Limits{}, 2, 3, 5},
		"in shadow":     {fraud.Shadow, 2, 3, fraud.Limits{}, 4, 4, 8},
		"off":           {fraud.Off, 2, 3, fraud.Limits{}, 4, 4, 0},
		"starts alone":  {fraud.Enforce, 2, 0, fraud.Limits{}, 2, 4, 6},
		"checks alone":  {fraud.Enforce, 0, 3, fraud.Limits{}, 4, 3, 3},
		"shadow for it": {fraud.Enforce, 2, 3, fraud.Limits{Mode: fraud.Shadow}, 4, 3, 7},
		"off for it":    {fraud.Enforce, 2, 3, fraud.Limits{Mode: fraud.Off}, 4, 3, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newState(only(func(r *fraud.Rules) {
				r.Source = fraud.Source{Mode: tt.mode, Window: time.Hour, Starts: tt.starts, FailedChecks: tt.checks, Blocks: []time.Duration{time.Minute}}
			}))
			a := attempt("447700900001")
			a.Source, a.Limits = "192.0.2.1", tt.limits
			starts, checks := 0, 0
			for range 4 {
				if d := s.Start(a, t0); d.Refused == nil {
					starts++
				} else if d.Refused.Rule != fraud.RuleSource || d.Refused.Count() != int64(tt.starts) {
					t.Errorf("a start is refused by %+v", d.Refused)
				}
			}
			entries, made := s.Drain()
			for i := range made { // a block of the starts would refuse the checks
				made[i].LiftedAt, made[i].LiftedBy = t0, "operator"
			}
			s.LoadBlocks(made, nil, t0)
			now := t0.Add(time.Minute)
			for range 4 {
				d := s.MayCheck(a.Account, a.Source, now)
				if d.Refused == nil {
					checks++
					s.Failed(ended(a.Number, verify.Expired), a.Source, now)
				} else if d.Refused.Count() != int64(tt.checks) {
					t.Errorf("a check is refused by %+v", d.Refused)
				}
			}
			if starts != tt.wantStarts || checks != tt.wantChecks {
				t.Errorf("%d starts and %d checks pass, want %d and %d", starts, checks, tt.wantStarts, tt.wantChecks)
			}
			for _, elsewhere := range []struct{ account, source string }{{"other001", a.Source}, {a.Account, "192.0.2.2"}, {a.Account, ""}} {
				b := attempt(a.Number)
				b.Account, b.Source = elsewhere.account, elsewhere.source
				if d := s.Start(b, now); d.Refused != nil || len(d.Would) != 0 {
					t.Errorf("a start of %+v: %+v", elsewhere, d)
				}
				if d := s.MayCheck(b.Account, b.Source, now); d.Refused != nil || len(d.Would) != 0 {
					t.Errorf("a check of %+v: %+v", elsewhere, d)
				}
			}
			told := int64(0)
			more, _ := s.Drain()
			for _, e := range append(entries, more...) {
				if e.Source == a.Source && e.Account == a.Account {
					told += e.Starts + e.FailedChecks
				}
			}
			if told != tt.told {
				t.Errorf("%d events of the address are taken, want %d", told, tt.told)
			}
		})
	}
}

// TestSourceTakenBack: a start that is taken back does not count against its address.
func TestSourceTakenBack(t *testing.T) {
	t.Parallel()
	s := newState(only(func(r *fraud.Rules) {
		r.Source = fraud.Source{Mode: fraud.Enforce, Window: time.Hour, Starts: 1}
	}))
	a := attempt("447700900001")
	a.Source = "192.0.2.1"
	for range 5 {
		if d := s.Start(a, t0); d.Refused != nil {
			t.Fatalf("refused by %+v", d.Refused)
		}
		s.TakeBack(a, t0)
	}
	s.Start(a, t0)
	if d := s.Start(a, t0); d.Refused == nil {
		t.Error("a second start passes")
	}
}

// TestCalls: the calls of all accounts to a prefix are bounded; a refused call does not
// count. 0 and off are no limit.
func TestCalls(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		mode  fraud.Mode
		limit int
		pass  int // calls of 6
		would int
	}{
		"enforced":   {fraud.Enforce, 3, 3, 0},
		"in shadow":  {fraud.Shadow, 3, 6, 3},
		"off":        {fraud.Off, 3, 6, 0},
		"no limit":   {fraud.Enforce, 0, 6, 0},
		"one a hour": {fraud.Enforce, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newState(only(func(r *fraud.Rules) {
				r.Voice = fraud.Voice{Mode: tt.mode, CallsPerHour: tt.limit, Blocks: []time.Duration{time.Minute}}
			}))
			calls := func(now time.Time) (pass, would int) {
				for i := range 6 {
					d := s.Call([]string{"demo0001", "other001"}[i%2], "447700900001", "GB", now)
					would += len(d.Would)
					if d.Refused == nil {
						pass++
					} else if b := d.Refused; b.Rule != fraud.RuleVoice || b.Target != (fraud.Target{Kind: fraud.KindVoice, Value: "4477009"}) ||
						b.Count() != int64(tt.limit) || d.Network != "23410" {
						t.Errorf("refused by %+v", b)
					}
				}
				return pass, would
			}
			if pass, would := calls(t0); pass != tt.pass || would != tt.would {
				t.Errorf("%d calls pass and %d would not, want %d and %d", pass, would, tt.pass, tt.would)
			}
			if d := s.Call("demo0001", "447701000001", "GB", t0); d.Refused != nil || len(d.Would) != 0 {
				t.Errorf("a call to another prefix: %+v", d)
			}
			if pass, _ := calls(t0.Add(time.Hour)); pass != tt.pass { // the window is over
				t.Errorf("%d calls pass an hour later, want %d", pass, tt.pass)
			}
		})
	}
}

// TestCount: Count returns the figure limited by the rule of the block.
func TestCount(t *testing.T) {
	t.Parallel()
	f := fraud.Figures{
		Counts:     fraud.Counts{Starts: 100, Successes: 1, Calls: 40, FailedChecks: 7, Finished: 30},
		Conversion: 3.6, Numbers: 8, Limit: 8,
	}
	atLimit := f
	atLimit.Limit = 7
	for _, tt := range []struct {
		rule fraud.Rule
		f    fraud.Figures
		want int64
	}{
		{fraud.RuleConversion, f, 4}, {fraud.RuleConversionAll, f, 4}, {fraud.RuleConversionAlert, f, 4},
		{fraud.RuleSequence, f, 8}, {fraud.RuleUnverified, f, 99}, {fraud.RulePrefix, f, 100}, {fraud.RuleNetwork, f, 100},
		{fraud.RuleSource, f, 100}, {fraud.RuleSource, atLimit, 7}, {fraud.RuleCountry, f, 100}, {fraud.RuleSpend, f, 100},
		{fraud.RuleVoice, f, 40},
	} {
		if got := (fraud.Block{Rule: tt.rule, Figures: tt.f}).Count(); got != tt.want {
			t.Errorf("%s at %v: %d, want %d", tt.rule, tt.f.Limit, got, tt.want)
		}
		if !slices.Contains(fraud.RuleNames(), tt.rule) {
			t.Errorf("%s is not among the names of rules", tt.rule)
		}
	}
}

// TestActive: a block is active until its end, or until it is lifted.
func TestActive(t *testing.T) {
	t.Parallel()
	b := fraud.Block{Since: t0, Until: t0.Add(time.Hour)}
	lifted, forever := b, b
	lifted.LiftedAt, forever.Until = t0.Add(time.Minute), time.Time{}
	for _, tt := range []struct {
		name string
		b    fraud.Block
		now  time.Duration
		want bool
	}{
		{"new", b, 0, true}, {"at its end", b, time.Hour, false}, {"before its end", b, time.Hour - 1, true},
		{"lifted", lifted, 0, false}, {"without an end", forever, 1000 * time.Hour, true},
		{"by another clock", b, -5 * time.Minute, true}, {"from the future", b, -5*time.Minute - time.Second, false},
	} {
		if got := tt.b.Active(t0.Add(tt.now)); got != tt.want {
			t.Errorf("a block %s holds: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestLifted: the last block of a rule and target lifted by an operator counts, in any
// order of arrival. A block lifted by its account does not count.
func TestLifted(t *testing.T) {
	t.Parallel()
	block := func(ordinal int, liftedAt time.Duration, by string) fraud.Block {
		return fraud.Block{
			Target: inCountry, Rule: fraud.RuleCountry, Action: fraud.ActionBlock, Since: t0, Ordinal: ordinal,
			LiftedAt: t0.Add(liftedAt), LiftedBy: by,
		}
	}
	s := newState(only(func(*fraud.Rules) {}))
	lifted := func() time.Time { return s.Lifted(fraud.RuleCountry, inCountry, t0.Add(time.Hour)) }
	if !lifted().IsZero() {
		t.Errorf("lifted at %v, want never", lifted())
	}
	for _, tt := range []struct {
		b    fraud.Block
		want time.Duration
	}{
		{block(2, 20*time.Minute, "operator"), 20 * time.Minute},
		{block(1, 10*time.Minute, "operator"), 20 * time.Minute},
		{block(3, 30*time.Minute, fraud.LiftedByAccount), 20 * time.Minute},
		{block(4, 40*time.Minute, "operator"), 40 * time.Minute},
	} {
		s.LoadBlocks([]fraud.Block{tt.b}, nil, t0)
		if got := lifted(); !got.Equal(t0.Add(tt.want)) {
			t.Errorf("lifted at %v after block %d, want %v", got, tt.b.Ordinal, tt.want)
		}
	}
	if got := s.Lifted(fraud.RuleCountry, inCountry, t0.Add(34*time.Minute)); !got.IsZero() {
		t.Errorf("lifted in the future, at %v", got)
	}
	if s.Rules().RepeatWithin != 24*time.Hour {
		t.Errorf("the rules are %+v", s.Rules())
	}
}

// TestOlderBlock: an earlier block does not replace the current one.
func TestOlderBlock(t *testing.T) {
	t.Parallel()
	s := newState(only(func(r *fraud.Rules) { r.Country.Mode = fraud.Enforce }))
	now := fraud.Block{Target: inCountry, Rule: fraud.RuleCountry, Action: fraud.ActionBlock, Since: t0, Ordinal: 2}
	before := now
	before.Ordinal, before.Until = 1, t0
	s.LoadBlocks([]fraud.Block{now, before}, nil, t0)
	if d := s.Start(attempt("447700900001"), t0); d.Refused == nil || d.Refused.Ordinal != 2 {
		t.Errorf("refused by %+v, want block 2", d.Refused)
	}
	ended := now // the same block, changed
	ended.LiftedAt, ended.LiftedBy = t0, fraud.LiftedByAccount
	s.LoadBlocks([]fraud.Block{ended}, nil, t0)
	if d := s.Start(attempt("447700900001"), t0); d.Refused != nil {
		t.Errorf("refused by %+v, want it lifted", d.Refused)
	}
}
