package fraud

import (
	"slices"
	"strings"
	"time"

	"countersign/internal/verify"
)

// Counts is what happened somewhere in some time.
type Counts struct {
	Starts       int64 `json:"starts,omitempty"`        // accepted
	Sends        int64 `json:"sends,omitempty"`         // SMS that a carrier took
	Calls        int64 `json:"calls,omitempty"`         // that a carrier took
	Successes    int64 `json:"successes,omitempty"`     // verified
	Finished     int64 `json:"finished,omitempty"`      // over, verified or not
	FailedChecks int64 `json:"failed_checks,omitempty"` // wrong codes
	Spend        int64 `json:"spend,omitempty"`         // prices of the starts, in units of verify.Money
}

// Plus is the sum of both.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		c.Starts + o.Starts, c.Sends + o.Sends, c.Calls + o.Calls, c.Successes + o.Successes,
		c.Finished + o.Finished, c.FailedChecks + o.FailedChecks, c.Spend + o.Spend,
	}
}

// Conversion is the percentage of what is over that was verified; 100 of nothing.
func (c Counts) Conversion() float64 {
	if c.Finished == 0 {
		return 100
	}
	return 100 * float64(c.Successes) / float64(c.Finished)
}

// Entry is what one node counted within a minute, of one account at one place. It is
// what nodes tell each other. Exactly one of Prefix, Source and Range is given.
type Entry struct {
	Minute  int64  `json:"m"` // since 1970
	Account string `json:"a,omitempty"`
	Country string `json:"c,omitempty"`
	Network string `json:"n,omitempty"` // "" where it is not known
	Prefix  string `json:"p,omitempty"`
	Source  string `json:"s,omitempty"`
	Range   string `json:"r,omitempty"` // a number without its last two digits
	Last    int    `json:"l,omitempty"` // those two
	Counts
}

// place is an Entry without its counts: what is counted separately.
func (e Entry) place() Entry {
	e.Counts = Counts{}
	return e
}

// PrefixDigits is how many first digits of a number make its prefix: the country and
// what most plans give to one operator, or a part of it.
const PrefixDigits = 7

func prefixOf(number string) string { return number[:min(len(number), PrefixDigits)] }

// rangeOf splits a number into the hundred that it is in, and which of them it is.
func rangeOf(number string) (hundred string, last int) {
	if len(number) < 2 {
		return number, 0
	}
	cut := len(number) - 2
	return number[:cut], int(number[cut]-'0')*10 + int(number[cut+1]-'0')
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// series is what was counted at one place, by the minute, the oldest first. Minutes
// in which nothing happened are not there.
type series struct {
	minutes []minuteCounts

	// The last sum that was asked for, kept up with what is added: nearly all rules
	// look back equally far, and a start asks several.
	from  int64
	sum   Counts
	known bool
}

type minuteCounts struct {
	minute int64
	Counts
}

// add counts in a minute, which may be an earlier one, and forgets those before
// oldest.
func (s *series) add(minute, oldest int64, n Counts) {
	at := len(s.minutes)
	for at > 0 && s.minutes[at-1].minute > minute {
		at--
	}
	if at > 0 && s.minutes[at-1].minute == minute {
		s.minutes[at-1].Counts = s.minutes[at-1].Plus(n)
		s.added(minute, n)
	} else if minute >= oldest {
		s.added(minute, n)
		s.minutes = append(s.minutes, minuteCounts{})
		copy(s.minutes[at+1:], s.minutes[at:])
		s.minutes[at] = minuteCounts{minute, n}
	}
	gone := 0
	for gone < len(s.minutes) && s.minutes[gone].minute < oldest {
		gone++
	}
	s.minutes = append(s.minutes[:0], s.minutes[gone:]...)
}

func (s *series) added(minute int64, n Counts) {
	if s.known && minute >= s.from {
		s.sum = s.sum.Plus(n)
	}
}

// since sums the minutes from one on, none of which may be forgotten yet.
func (s *series) since(minute int64) (sum Counts) {
	if s == nil {
		return sum
	}
	if s.known && s.from == minute {
		return s.sum
	}
	defer func() { s.from, s.sum, s.known = minute, sum, true }()
	for i := len(s.minutes) - 1; i >= 0 && s.minutes[i].minute >= minute; i-- {
		sum = sum.Plus(s.minutes[i].Counts)
	}
	return sum
}

// turnBack forgets the minutes after latest.
func (s *series) turnBack(latest int64) {
	s.minutes = slices.DeleteFunc(s.minutes, func(m minuteCounts) bool { return m.minute > latest })
	s.known = false
}

func (s *series) newest() int64 {
	if len(s.minutes) == 0 {
		return 0
	}
	return s.minutes[len(s.minutes)-1].minute
}

// Kind is what a target is.
type Kind string

// The kinds of targets.
const (
	KindNetwork Kind = "network"
	KindPrefix  Kind = "prefix"  // 7 digits
	KindCountry Kind = "country" // ISO 3166-1 alpha-2
	KindRange   Kind = "range"   // a number without its last two digits
	KindSource  Kind = "source"  // an address; of IPv6 the /64
	KindVoice   Kind = "voice"   // a prefix, for calls
	KindAccount Kind = "account" // the account itself
)

// Target is what a rule counts and blocks.
type Target struct {
	Account string // its API key; "" for all
	Kind    Kind
	Value   string
}

// seen are the numbers of a hundred that were verified lately.
type seen struct{ last []seenNumber }

type seenNumber struct {
	last   int
	minute int64
}

// add notes a number, and forgets those before oldest.
func (s *seen) add(last int, minute, oldest int64) {
	kept := s.last[:0]
	for _, n := range s.last {
		if n.minute >= oldest && n.last != last {
			kept = append(kept, n)
		} else if n.last == last {
			minute = max(minute, n.minute)
		}
	}
	s.last = append(kept, seenNumber{last, minute})
}

// since counts the numbers from a minute on, and one more if it is not among them.
func (s *seen) since(minute int64, with int) int {
	n, found := 0, false
	if s != nil {
		for _, number := range s.last {
			if number.minute >= minute {
				n++
				found = found || number.last == with
			}
		}
	}
	if !found {
		n++
	}
	return n
}

// turnBack forgets the numbers seen after the minute latest.
func (s *seen) turnBack(latest int64) {
	s.last = slices.DeleteFunc(s.last, func(n seenNumber) bool { return n.minute > latest })
}

func (s *seen) newest() (minute int64) {
	for _, n := range s.last {
		minute = max(minute, n.minute)
	}
	return minute
}

// Bounds of what is held in memory: a minute of a series takes 64 bytes, a number of
// a hundred 16. Together some 60 MB at the most.
const (
	maxMinutes = 600_000
	maxSeen    = 400_000
)

// counters is all that is counted, by this node and by others.
type counters struct {
	keep   int64 // minutes
	newest int64 // minute counted in
	series *bounded[Target, *series]
	seen   *bounded[string, *seen]
}

func newCounters(keep time.Duration) *counters {
	return &counters{
		keep:   int64(keep/time.Minute) + 1,
		series: newBounded[Target](maxMinutes, func(s *series) int { return 4 + len(s.minutes) }),
		seen:   newBounded[string](maxSeen, func(s *seen) int { return 8 + len(s.last) }),
	}
}

// add counts an entry everywhere that it belongs to.
func (c *counters) add(e Entry, now int64) {
	oldest := now - c.keep
	if e.Minute < oldest {
		return
	}
	c.newest = max(c.newest, e.Minute)
	if e.Range != "" {
		s, ok := c.seen.get(e.Range)
		if !ok {
			s = &seen{}
		}
		s.add(e.Last, e.Minute, oldest)
		c.seen.put(e.Range, s)
		return
	}
	for _, t := range e.targets() {
		s, ok := c.series.get(t)
		if !ok {
			s = &series{}
		}
		s.add(e.Minute, oldest, e.Counts)
		c.series.put(t, s)
	}
}

// targets are the series that an entry is counted in.
func (e Entry) targets() []Target {
	if e.Source != "" {
		return []Target{{e.Account, KindSource, e.Source}}
	}
	list := []Target{{e.Account, KindPrefix, e.Prefix}, {"", KindPrefix, e.Prefix}}
	if e.Network != "" {
		list = append(list, Target{e.Account, KindNetwork, e.Network}, Target{"", KindNetwork, e.Network})
	}
	if e.Country != "" {
		list = append(list, Target{e.Account, KindCountry, e.Country}, Target{"", KindCountry, e.Country})
	}
	return list
}

// sum counts what happened to a target from a minute on.
func (c *counters) sum(t Target, since int64) Counts {
	s, _ := c.series.get(t)
	return s.since(since)
}

// numbers counts the distinct numbers of a hundred from a minute on, with one more.
func (c *counters) numbers(hundred string, last int, since int64) int {
	s, _ := c.seen.get(hundred)
	return s.since(since, last)
}

// turnBack removes the counts of minutes from the future: a clock was ahead and has been
// corrected.
func (c *counters) turnBack(now int64) {
	latest := now + int64(verify.FutureTolerance/time.Minute)
	if c.newest <= latest {
		return
	}
	c.newest = latest // an upper bound: counts up to it remain
	for _, e := range c.series.entries {
		e.Value.(*boundedEntry[Target, *series]).value.turnBack(latest)
	}
	for _, e := range c.seen.entries {
		e.Value.(*boundedEntry[string, *seen]).value.turnBack(latest)
	}
}

// expire forgets what is too old for any rule.
func (c *counters) expire(now int64) {
	c.turnBack(now)
	oldest := now - c.keep
	c.series.expire(func(s *series) bool { return s.newest() < oldest })
	c.seen.expire(func(s *seen) bool { return s.newest() < oldest })
}

// Networks tells which network a number is in, by its first digits.
type Networks []NetworkPrefix

// NetworkPrefix is some first digits and whose they are.
type NetworkPrefix struct{ Prefix, Name string }

// of names the network of a number; "" where none is known.
func (n Networks) of(number string) (name string) {
	longest := -1
	for _, known := range n {
		if len(known.Prefix) > longest && strings.HasPrefix(number, known.Prefix) {
			longest, name = len(known.Prefix), known.Name
		}
	}
	return name
}
