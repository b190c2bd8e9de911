package fraud_test

import (
	"fmt"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// inCountry is the target of the country rule for the attempts of these tests.
var inCountry = fraud.Target{Account: "demo0001", Kind: fraud.KindCountry, Value: "GB"}

// TestCountryBlock: Report blocks a country for one account if the rule is enforced, and
// only reports starts there in shadow mode. A report during a block adds no block. A
// report after it makes a repeat.
func TestCountryBlock(t *testing.T) {
	t.Parallel()
	elsewhere, other := attempt("33612345678"), attempt("447700900001")
	elsewhere.Country, other.Account = "FR", "other001"
	nowhere := attempt("447700900001")
	nowhere.Country = ""
	for mode, action := range map[fraud.Mode]fraud.Action{fraud.Enforce: fraud.ActionBlock, fraud.Shadow: fraud.ActionShadow} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := newState(only(func(r *fraud.Rules) {
				r.Country = fraud.Country{Mode: mode, Blocks: []time.Duration{time.Hour, 6 * time.Hour}}
			}))
			f := fraud.Figures{Window: "12h0m0s", Counts: fraud.Counts{Starts: 300}, Limit: 200, Mean: 3}
			report := func(now time.Time) (fraud.Block, bool) { return s.Report(fraud.RuleCountry, inCountry, f, now) }
			b, fresh := report(t0)
			if want := t0.Add(time.Hour); !fresh || b.Action != action || b.Rule != fraud.RuleCountry || b.Target != inCountry ||
				b.Network != "GB" || b.Count() != 300 || b.Figures.Mean != 3 || !b.Until.Equal(want) || b.Repeat != 1 || b.ID == "" {
				t.Fatalf("the first report: %+v, %v", b, fresh)
			}
			now := t0.Add(time.Hour - time.Millisecond)
			if again, fresh := report(now); fresh || again.ID != b.ID {
				t.Errorf("a report while the block holds: %+v, %v", again, fresh)
			}
			if _, made := s.Drain(); len(made) != 1 || made[0].ID != b.ID {
				t.Errorf("taken are %+v, want one block", made)
			}
			d := s.Start(attempt("447700900001"), now)
			if held := append(d.Would, first(d.Refused)...); len(held) != 1 || held[0].ID != b.ID || len(d.Fresh) != 0 {
				t.Errorf("a start: %+v, want the block that was reported", d)
			}
			if refused := d.Refused != nil; refused != (mode == fraud.Enforce) {
				t.Errorf("a start is refused: %v", refused)
			}
			for name, a := range map[string]fraud.Attempt{"elsewhere": elsewhere, "other account": other, "no country": nowhere} {
				if d := s.Start(a, now); d.Refused != nil || len(d.Would) != 0 {
					t.Errorf("%s: %+v", name, d)
				}
			}
			now = t0.Add(time.Hour)
			if d := s.Start(attempt("447700900001"), now); d.Refused != nil || len(d.Would) != 0 {
				t.Errorf("after the block: %+v", d)
			}
			if b, fresh := report(now); !fresh || b.Repeat != 2 || b.Ordinal != 2 || !b.Until.Equal(now.Add(6*time.Hour)) {
				t.Errorf("a report after the block: %+v, %v", b, fresh)
			}
		})
	}
}

func first(b *fraud.Block) []fraud.Block {
	if b == nil {
		return nil
	}
	return []fraud.Block{*b}
}

// TestEnforcedAnew: a shadow block has no effect after its rule is enforced, and the rule
// decides again.
func TestEnforcedAnew(t *testing.T) {
	t.Parallel()
	volume := func(mode fraud.Mode) fraud.Rules {
		return only(func(r *fraud.Rules) {
			r.Prefix = fraud.Volume{Mode: mode, Window: time.Hour, Starts: 1, Blocks: []time.Duration{time.Hour}}
		})
	}
	shadow := newState(volume(fraud.Shadow))
	shadow.Start(attempt("447700900001"), t0)
	d := shadow.Start(attempt("447700900001"), t0)
	if len(d.Fresh) != 1 {
		t.Fatalf("in shadow mode: %+v", d)
	}
	s := newState(volume(fraud.Enforce))
	s.LoadBlocks(d.Fresh, nil, t0)
	if d := s.Start(attempt("447700900001"), t0); d.Refused != nil {
		t.Errorf("the first start is refused by %+v", d.Refused)
	}
	d = s.Start(attempt("447700900001"), t0)
	if d.Refused == nil || d.Refused.Action != fraud.ActionBlock || d.Refused.Ordinal != 2 || d.Refused.Repeat != 1 {
		t.Errorf("the second start: %+v, want a first block of ordinal 2", d.Refused)
	}
	// The other way round, the block is kept and only reports.
	back := newState(volume(fraud.Shadow))
	back.LoadBlocks([]fraud.Block{*d.Refused}, nil, t0)
	if d := back.Start(attempt("447700900001"), t0); d.Refused != nil || len(d.Would) != 1 || len(d.Fresh) != 0 {
		t.Errorf("in shadow mode again: %+v", d)
	}
}

// TestSpendAlert: sudden spending raises one alert in a day and refuses no start. It does
// not depend on the mode of the country rule.
func TestSpendAlert(t *testing.T) {
	t.Parallel()
	s := newState(only(func(r *fraud.Rules) { r.Country.Mode = fraud.Enforce }))
	target := fraud.Target{Account: "demo0001", Kind: fraud.KindAccount, Value: "demo0001"}
	report := func(now time.Time) (fraud.Block, bool) {
		return s.Report(fraud.RuleSpend, target, fraud.Figures{Counts: fraud.Counts{Spend: 50}}, now)
	}
	b, fresh := report(t0)
	if !fresh || b.Action != fraud.ActionAlert || !b.Until.Equal(t0.Add(24*time.Hour)) || b.Figures.Spend != 50 {
		t.Errorf("the first report: %+v, %v", b, fresh)
	}
	if d := s.Start(attempt("447700900001"), t0); d.Refused != nil || len(d.Would) != 0 {
		t.Errorf("a start: %+v", d)
	}
	if _, fresh := report(t0.Add(24*time.Hour - time.Millisecond)); fresh {
		t.Error("a second alert within a day")
	}
	if _, fresh := report(t0.Add(24 * time.Hour)); !fresh {
		t.Error("no alert on the next day")
	}
}

// TestConversionAlert: a conversion between the two limits raises one alert in a window
// and refuses no start. A rule that is off raises none.
func TestConversionAlert(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		mode      fraud.Mode
		limits    fraud.Limits
		successes int // among 40 verifications
		alerts    int // 2 are of the prefix and of the network
	}{
		"low":                {fraud.Enforce, fraud.Limits{}, 13, 2},
		"at the limit":       {fraud.Enforce, fraud.Limits{}, 14, 0}, // 35 %
		"in shadow mode":     {fraud.Shadow, fraud.Limits{}, 13, 2},
		"off":                {fraud.Off, fraud.Limits{}, 13, 0},
		"off for it":         {fraud.Enforce, fraud.Limits{Mode: fraud.Off}, 13, 0},
		"shadow for it":      {fraud.Enforce, fraud.Limits{Mode: fraud.Shadow}, 13, 2},
		"too few for it":     {fraud.Enforce, fraud.Limits{Finished: 41}, 13, 0},
		"just enough for it": {fraud.Enforce, fraud.Limits{Finished: 40}, 13, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newState(only(func(r *fraud.Rules) {
				r.Conversion = defaultRules().Conversion
				r.Conversion.Mode, r.Conversion.All = tt.mode, fraud.Off
			}))
			alerts := func(now time.Time) (n int) {
				t.Helper()
				play(s, tt.successes, 40-tt.successes, now)
				a := attempt("447700999999")
				a.Limits = tt.limits
				d := s.Start(a, now)
				if d.Refused != nil || len(d.Would) != 0 {
					t.Errorf("a start: %+v", d)
				}
				for _, b := range d.Fresh {
					if b.Rule != fraud.RuleConversionAlert || b.Action != fraud.ActionAlert || b.Figures.Limit != 35 || !b.Until.Equal(now.Add(time.Hour)) {
						t.Errorf("the alert is %+v", b)
					}
				}
				return len(d.Fresh)
			}
			for _, after := range []struct {
				d    time.Duration
				want int
			}{{0, tt.alerts}, {time.Hour - time.Second, 0}, {2 * time.Hour, tt.alerts}} {
				if n := alerts(t0.Add(after.d)); n != after.want {
					t.Errorf("%d alerts after %v, want %d", n, after.d, after.want)
				}
			}
		})
	}
}

// TestCountryFloor: the base number of a country limits the unverified starts of an account
// there even if no prefix reaches its own. A success raises the limit.
func TestCountryFloor(t *testing.T) {
	t.Parallel()
	for mode, refused := range map[fraud.Mode]int{fraud.Enforce: 5, fraud.Shadow: 0} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := newState(only(func(r *fraud.Rules) {
				r.Unverified = fraud.Unverified{
					Mode: mode, Window: time.Hour, Percent: 300, Prefix: 2, Country: 10, Blocks: []time.Duration{time.Minute},
				}
			}))
			numberOf := func(i int) string { return fmt.Sprintf("44770%02d00000", i) }
			n, would := 0, 0
			for i := range 15 {
				d := s.Start(attempt(numberOf(i)), t0)
				if d.Refused != nil {
					n++
				}
				for _, b := range append(d.Would, first(d.Refused)...) {
					would++
					if b.Rule != fraud.RuleUnverified || b.Target != inCountry || b.Figures.Limit != 10 || b.Count() != 10 {
						t.Errorf("start %d: %+v", i, b)
					}
				}
			}
			if n != refused || would != 5 {
				t.Errorf("%d refused and %d over the base number, want %d and 5", n, would, refused)
			}
			elsewhere := attempt("33612345678")
			elsewhere.Country = "FR"
			if d := s.Start(elsewhere, t0); d.Refused != nil || len(d.Would) != 0 {
				t.Errorf("another country: %+v", d)
			}
			if mode == fraud.Shadow {
				return
			}
			s.Ended(ended(numberOf(0), verify.Success), t0)
			now := t0.Add(time.Minute)
			for i := range 5 { // 4 of the new budget of 13, since 10 started and 1 was verified
				if d := s.Start(attempt(numberOf(20+i)), now); (d.Refused != nil) != (i == 4) {
					t.Errorf("start %d after a success: %+v", i, d)
				}
			}
		})
	}
}

// TestUnblocks: an unblock applies to its account and network until its end. A second
// unblock keeps earlier ones in force.
func TestUnblocks(t *testing.T) {
	t.Parallel()
	s := newState(only(func(r *fraud.Rules) {
		r.Sequence = fraud.Sequence{Mode: fraud.Enforce, Window: time.Hour, Numbers: 1, Blocks: []time.Duration{0}}
	}))
	exempt := func(account, number string, now time.Time) bool {
		d := s.Start(fraud.Attempt{Account: account, Number: number, Country: "GB"}, now)
		if d.Exempt != (d.Refused == nil) {
			t.Errorf("exempt: %v, refused: %+v", d.Exempt, d.Refused)
		}
		return d.Exempt
	}
	const first, second, third = "447700900001", "447701900001", "33612345678" // networks: 23410, 23415, unknown
	unblock := func(account, network string, since, until time.Time) {
		s.LoadBlocks(nil, []fraud.Unblock{{Account: account, Network: network, Since: since, Until: until}}, since)
	}
	unblock("demo0001", "23410", t0, t0.Add(time.Hour))
	unblock("demo0001", "23415", t0, t0.Add(2*time.Hour))
	unblock("other001", "3361234", t0, t0.Add(3*time.Hour))
	for _, tt := range []struct {
		account, number string
		after           time.Duration
		want            bool
	}{
		{"demo0001", first, 0, true}, {"demo0001", second, 0, true}, {"demo0001", third, 0, false},
		{"other001", first, 0, false}, {"other001", third, 0, true},
		{"demo0001", first, time.Hour - time.Millisecond, true}, {"demo0001", first, time.Hour, false}, {"demo0001", second, time.Hour, true},
	} {
		if got := exempt(tt.account, tt.number, t0.Add(tt.after)); got != tt.want {
			t.Errorf("%s to %s after %v is exempt: %v, want %v", tt.account, tt.number, tt.after, got, tt.want)
		}
	}
	now := t0.Add(90 * time.Minute)
	unblock("demo0001", "23410", now, now.Add(time.Hour))
	for number, account := range map[string]string{first: "demo0001", second: "demo0001", third: "other001"} {
		if !exempt(account, number, now) {
			t.Errorf("%s to %s is not exempt after a later unblock", account, number)
		}
	}
}
