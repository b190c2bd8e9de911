package fraud

import (
	"time"

	"countersign/internal/verify"
)

// Attempt is a start to be judged by the rules.
type Attempt struct {
	Account string
	Number  string // E.164 digits without "+"
	Country string
	Source  string // address of the API client; "" if unknown
	Price   verify.Money

	Limits Limits
}

// Limits are an account's limits, which override those of the installation.
type Limits struct {
	Mode     Mode // strictest mode of any rule, off or shadow; "" for the modes of the rules
	Below    int  // Conversion.Below; 0 for the value of the rules
	Finished int  // Conversion.Finished; 0 for the value of the rules
}

// check is one rule applied to one target. A start applies about a dozen, so check avoids
// closures.
type check struct {
	rule   Rule
	mode   Mode
	target Target
	window time.Duration
	blocks []time.Duration
	// anew ignores counts before the end of the last block. Rules with a bound leave it
	// unset; otherwise each block would permit as much again. After a block lifted by an
	// operator, every rule ignores earlier counts.
	anew bool
	// over reports whether the limit is reached, with the figures; nil if Report decides.
	over func(s *State, c *check, since int64) (Figures, bool)

	limit    int     // limit for over
	finished int     // minimum of finished verifications for a conversion rate
	last     int     // index of the number, for a sequence
	given    Figures // figures passed to Report
}

// maxChecks is the maximum number of checks of a start.
const maxChecks = 14

// checks appends the checks of a start to list, without the rules that are off.
func (s *State) checks(list []check, a *Attempt, at *Entry) []check {
	r := &s.rules
	below, finished := r.Conversion.Below, r.Conversion.Finished
	if a.Limits.Below > 0 {
		below = a.Limits.Below
	}
	if a.Limits.Finished > 0 {
		finished = a.Limits.Finished
	}
	prefix, network := Target{a.Account, KindPrefix, at.Prefix}, Target{a.Account, KindNetwork, at.Network}
	for _, t := range [...]Target{prefix, network} {
		if t.Value == "" {
			continue
		}
		all := Target{"", t.Kind, t.Value}
		list = append(list, s.conversion(RuleConversion, r.Conversion.Mode, t, below, finished),
			s.conversion(RuleConversionAll, r.Conversion.All, all, r.Conversion.Below, r.Conversion.Finished))
		if r.Conversion.Mode != Off {
			list = append(list, s.alert(t, finished))
		}
	}
	if prefix.Value != "" { // not an e-mail address
		list = append(list, s.sequence(at), s.unverified(prefix, r.Unverified.Prefix), volume(RulePrefix, r.Prefix, prefix))
	}
	if a.Country != "" {
		country := Target{a.Account, KindCountry, a.Country}
		list = append(list, s.unverified(country, r.Unverified.Country),
			// Report decides whether the volume is sudden; this check only applies its
			// blocks.
			check{rule: RuleCountry, mode: r.Country.Mode, target: country})
	}
	if at.Network != "" {
		list = append(list, volume(RuleNetwork, r.Network, network))
	}
	if a.Source != "" && r.Source.Starts > 0 {
		list = append(list, s.source(a.Account, a.Source, r.Source.Starts, overStarts))
	}
	on := list[:0]
	for i := range list {
		if list[i].mode = a.Limits.of(list[i].mode); list[i].mode != Off {
			on = append(on, list[i])
		}
	}
	return on
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
		over: overConversion, limit: below, finished: finished,
	}
}

func overConversion(s *State, c *check, since int64) (Figures, bool) {
	n := s.counters.sum(c.target, since)
	f := Figures{Counts: n, Conversion: n.Conversion(), Limit: float64(c.limit)}
	return f, n.Finished >= int64(c.finished) && f.Conversion < float64(c.limit)
}

// alert returns the check for a low conversion rate. It alerts once in a window.
func (s *State) alert(t Target, finished int) check {
	conf := &s.rules.Conversion
	c := s.conversion(RuleConversionAlert, Shadow, t, conf.Alert, finished)
	c.blocks = s.alertBlocks
	return c
}

func (s *State) sequence(at *Entry) check {
	conf := &s.rules.Sequence
	return check{
		rule: RuleSequence, mode: conf.Mode, target: Target{"", KindRange, at.Range}, window: conf.Window, blocks: conf.Blocks,
		over: overSequence, limit: conf.Numbers, last: at.Last,
	}
}

func overSequence(s *State, c *check, since int64) (Figures, bool) {
	f := Figures{Numbers: s.counters.numbers(c.target.Value, c.last, since), Limit: float64(c.limit)}
	return f, f.Numbers >= c.limit
}

func (s *State) unverified(t Target, floor int) check {
	conf := &s.rules.Unverified
	return check{
		rule: RuleUnverified, mode: conf.Mode, target: t, window: conf.Window, blocks: conf.Blocks,
		over: overUnverified, limit: floor,
	}
}

func overUnverified(s *State, c *check, since int64) (Figures, bool) {
	n := s.counters.sum(c.target, since)
	budget := int64(c.limit) + n.Successes*int64(s.rules.Unverified.Percent)/100
	return Figures{Counts: n, Limit: float64(budget)}, n.Starts-n.Successes >= budget
}

func volume(rule Rule, conf Volume, t Target) check {
	mode := conf.Mode
	if conf.Starts == 0 {
		mode = Off
	}
	return check{rule: rule, mode: mode, target: t, window: conf.Window, blocks: conf.Blocks, over: overStarts, limit: conf.Starts}
}

func overStarts(s *State, c *check, since int64) (Figures, bool) {
	n := s.counters.sum(c.target, since)
	return Figures{Counts: n, Limit: float64(c.limit)}, n.Starts >= int64(c.limit)
}

func overFailedChecks(s *State, c *check, since int64) (Figures, bool) {
	n := s.counters.sum(c.target, since)
	return Figures{Counts: n, Limit: float64(c.limit)}, n.FailedChecks >= int64(c.limit)
}

func (s *State) source(account, source string, limit int, over func(*State, *check, int64) (Figures, bool)) check {
	conf := &s.rules.Source
	return check{
		rule: RuleSource, mode: conf.Mode, target: Target{account, KindSource, source}, window: conf.Window, blocks: conf.Blocks,
		over: over, limit: limit,
	}
}

func (s *State) voice(prefix string) check {
	conf := &s.rules.Voice
	mode := conf.Mode
	if conf.CallsPerHour == 0 {
		mode = Off
	}
	return check{
		rule: RuleVoice, mode: mode, target: Target{"", KindVoice, prefix}, window: time.Hour, blocks: conf.Blocks,
		over: overCalls, limit: conf.CallsPerHour,
	}
}

func overCalls(s *State, c *check, since int64) (Figures, bool) {
	n := s.counters.sum(Target{"", KindPrefix, c.target.Value}, since)
	return Figures{Counts: n, Limit: float64(c.limit)}, n.Calls >= int64(c.limit)
}

// overGiven is the over of figures passed to Report.
func overGiven(_ *State, c *check, _ int64) (Figures, bool) { return c.given, true }

// judge applies one rule. It returns the active block of the target, if any, and whether
// that is new. A new block takes effect when it is kept.
func (s *State) judge(c *check, network string, now time.Time) (b Block, holds, fresh bool) {
	key := ruleTarget{c.rule, c.target}
	before, _ := s.book.latest.get(key)
	// A shadow block does not hold once the rule is enforced: the rule decides again.
	if before.Ordinal > 0 && before.Active(now) && (c.mode != Enforce || before.Action == ActionBlock) {
		return before.Block, true, false
	}
	if c.over == nil {
		return Block{}, false, false
	}
	since := minuteOf(now) - int64(c.window/time.Minute) + 1
	if end := before.ended(); c.anew && before.Ordinal > 0 && !end.IsZero() && !verify.FromFuture(before.Since, now) {
		since = max(since, minuteOf(end)+1)
	}
	if !before.anew.IsZero() && !verify.FromFuture(before.anew, now) {
		since = max(since, minuteOf(before.anew)+1)
	}
	f, over := c.over(s, c, since)
	if !over {
		return Block{}, false, false
	}
	f.Window = c.window.String()
	return s.propose(c.rule, c.mode, c.target, c.blocks, network, f, now), true, true
}

// propose returns the next block of a rule and target without recording it.
func (s *State) propose(rule Rule, mode Mode, t Target, blocks []time.Duration, network string, f Figures, now time.Time) Block {
	before, _ := s.book.latest.get(ruleTarget{rule, t})
	action := ActionShadow
	switch {
	case rule == RuleConversionAlert || rule == RuleSpend:
		action = ActionAlert
	case mode == Enforce:
		action = ActionBlock
	}
	return next(before.Block, Block{
		ID: verify.NewID(s.rand).Hex(), Target: t, Rule: rule, Action: action, Network: network, Figures: f, Since: now,
	}, blocks, s.rules.RepeatWithin)
}

// keep records a new block here and, with the next Drain, on other nodes.
func (s *State) keep(b Block) {
	s.book.note(b)
	if len(s.made) < maxBlocks {
		s.made = append(s.made, b)
	}
}
