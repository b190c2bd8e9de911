package fraud

import (
	"time"

	"countersign/internal/verify"
)

// Attempt is a start that the rules are asked about.
type Attempt struct {
	Account string
	Number  string // E.164 digits without "+"
	Country string
	Source  string // who calls the API; "" if that is not known
	Price   verify.Money

	Limits Limits
}

// Limits are an account's own, over those of the installation.
type Limits struct {
	Mode     Mode // off or shadow: no rule does more than that; "" for those of the rules
	Below    int  // of Conversion; 0 for that of the rules
	Finished int  // of Conversion; 0 for that of the rules
}

// check is one rule that is asked about one target.
type check struct {
	rule   Rule
	mode   Mode
	target Target
	window time.Duration
	blocks []time.Duration
	// anew: what was counted until the end of the last block counts no more. A rule
	// that bounds does not say so, or each block would let as much through again; after
	// a block that was lifted by hand all do.
	anew bool
	// over reports whether the limit is reached, and by what figures.
	over func(since int64) (Figures, bool)
}

// checks are those of a start, without the rules that are off.
func (s *State) checks(a Attempt, at Entry) []check {
	r := s.rules
	targets := []Target{{a.Account, KindPrefix, at.Prefix}}
	if at.Network != "" {
		targets = append(targets, Target{a.Account, KindNetwork, at.Network})
	}
	list := make([]check, 0, 12)
	add := func(c check) {
		if c.mode = a.Limits.of(c.mode); c.mode != Off {
			list = append(list, c)
		}
	}
	below, finished := r.Conversion.Below, r.Conversion.Finished
	if a.Limits.Below > 0 {
		below = a.Limits.Below
	}
	if a.Limits.Finished > 0 {
		finished = a.Limits.Finished
	}
	for _, t := range targets {
		all := Target{"", t.Kind, t.Value}
		add(s.conversion(RuleConversion, r.Conversion.Mode, t, below, finished))
		add(s.conversion(RuleConversionAll, r.Conversion.All, all, r.Conversion.Below, r.Conversion.Finished))
		if r.Conversion.Mode != Off {
			add(s.alert(t, finished))
		}
	}
	add(s.sequence(at))
	add(s.unverified(targets[0], r.Unverified.Prefix))
	if a.Country != "" {
		add(s.unverified(Target{a.Account, KindCountry, a.Country}, r.Unverified.Country))
		// Whether it is sudden is found out elsewhere; here only whether it was.
		add(check{rule: RuleCountry, mode: r.Country.Mode, target: Target{a.Account, KindCountry, a.Country}})
	}
	add(s.volume(RulePrefix, r.Prefix, targets[0]))
	if at.Network != "" {
		add(s.volume(RuleNetwork, r.Network, targets[1]))
	}
	if a.Source != "" && r.Source.Starts > 0 {
		add(s.source(a.Account, a.Source, r.Source.Starts, func(c Counts) int64 { return c.Starts }))
	}
	return list
}

func (l Limits) of(m Mode) Mode {
	switch {
	case m == Off || l.Mode == Off:
		return Off
	case l.Mode == Shadow:
		return Shadow
	}
	return m
}

func (s *State) conversion(rule Rule, mode Mode, t Target, below, finished int) check {
	return check{
		rule: rule, mode: mode, target: t, window: s.rules.Conversion.Window, blocks: s.rules.Conversion.Blocks, anew: true,
		over: func(since int64) (Figures, bool) {
			c := s.counters.sum(t, since)
			f := Figures{Counts: c, Conversion: c.Conversion(), Limit: float64(below)}
			return f, c.Finished >= int64(finished) && f.Conversion < float64(below)
		},
	}
}

// alert tells of a conversion that is low. It is told once in a window.
func (s *State) alert(t Target, finished int) check {
	conf := s.rules.Conversion
	c := s.conversion(RuleConversionAlert, Shadow, t, conf.Alert, finished)
	c.blocks = []time.Duration{conf.Window}
	return c
}

func (s *State) sequence(at Entry) check {
	conf := s.rules.Sequence
	hundred, last := at.Range, at.Last
	return check{
		rule: RuleSequence, mode: conf.Mode, target: Target{"", KindRange, hundred}, window: conf.Window, blocks: conf.Blocks,
		over: func(since int64) (Figures, bool) {
			f := Figures{Numbers: s.counters.numbers(hundred, last, since), Limit: float64(conf.Numbers)}
			return f, f.Numbers >= conf.Numbers
		},
	}
}

func (s *State) unverified(t Target, floor int) check {
	conf := s.rules.Unverified
	return check{
		rule: RuleUnverified, mode: conf.Mode, target: t, window: conf.Window, blocks: conf.Blocks,
		over: func(since int64) (Figures, bool) {
			c := s.counters.sum(t, since)
			budget := int64(floor) + c.Successes*int64(conf.Percent)/100
			return Figures{Counts: c, Limit: float64(budget)}, c.Starts-c.Successes >= budget
		},
	}
}

func (s *State) volume(rule Rule, conf Volume, t Target) check {
	mode := conf.Mode
	if conf.Starts == 0 {
		mode = Off
	}
	return check{
		rule: rule, mode: mode, target: t, window: conf.Window, blocks: conf.Blocks,
		over: func(since int64) (Figures, bool) {
			c := s.counters.sum(t, since)
			return Figures{Counts: c, Limit: float64(conf.Starts)}, c.Starts >= int64(conf.Starts)
		},
	}
}

func (s *State) source(account, source string, limit int, of func(Counts) int64) check {
	conf := s.rules.Source
	t := Target{account, KindSource, source}
	return check{
		rule: RuleSource, mode: conf.Mode, target: t, window: conf.Window, blocks: conf.Blocks,
		over: func(since int64) (Figures, bool) {
			c := s.counters.sum(t, since)
			return Figures{Counts: c, Limit: float64(limit)}, of(c) >= int64(limit)
		},
	}
}

func (s *State) voice(prefix string) check {
	conf := s.rules.Voice
	mode := conf.Mode
	if conf.CallsPerHour == 0 {
		mode = Off
	}
	return check{
		rule: RuleVoice, mode: mode, target: Target{"", KindVoice, prefix}, window: time.Hour, blocks: conf.Blocks,
		over: func(since int64) (Figures, bool) {
			c := s.counters.sum(Target{"", KindPrefix, prefix}, since)
			return Figures{Counts: c, Limit: float64(conf.CallsPerHour)}, c.Calls >= int64(conf.CallsPerHour)
		},
	}
}

// judge asks one rule. It returns the block that holds for the target, if one does,
// and whether that is new.
func (s *State) judge(c check, network string, now time.Time) (b Block, holds, fresh bool) {
	key := ruleTarget{c.rule, c.target}
	before, _ := s.book.latest.get(key)
	// What was only in shadow does not hold once it is enforced, and is decided anew.
	if before.Ordinal > 0 && before.Active(now) && (c.mode != Enforce || before.Action == ActionBlock) {
		return before.Block, true, false
	}
	if c.over == nil {
		return Block{}, false, false
	}
	since := minuteOf(now) - int64(c.window/time.Minute) + 1
	if end := before.ended(); c.anew && before.Ordinal > 0 && !end.IsZero() {
		since = max(since, minuteOf(end)+1)
	}
	if !before.anew.IsZero() {
		since = max(since, minuteOf(before.anew)+1)
	}
	f, over := c.over(since)
	if !over {
		return Block{}, false, false
	}
	f.Window = c.window.String()
	return s.decide(c.rule, c.mode, c.target, c.blocks, network, f, now), true, true
}

// decide makes a block, and keeps it for others to be told of.
func (s *State) decide(rule Rule, mode Mode, t Target, blocks []time.Duration, network string, f Figures, now time.Time) Block {
	before, _ := s.book.latest.get(ruleTarget{rule, t})
	action := ActionShadow
	switch {
	case rule == RuleConversionAlert || rule == RuleSpend:
		action = ActionAlert
	case mode == Enforce:
		action = ActionBlock
	}
	b := next(before.Block, Block{
		ID: verify.NewID(s.rand).Hex(), Target: t, Rule: rule, Action: action, Network: network, Figures: f, Since: now,
	}, blocks, s.rules.RepeatWithin)
	s.book.note(b)
	if len(s.made) < maxBlocks {
		s.made = append(s.made, b)
	}
	return b
}
