package fraud

import (
	"slices"
	"strings"
	"time"

	"countersign/internal/verify"
)

// Counts are the events at a place within a period.
type Counts struct {
	Starts       int64 `json:"starts,omitempty"`        // accepted
	Sends        int64 `json:"sends,omitempty"`         // SMS accepted by a carrier
	Calls        int64 `json:"calls,omitempty"`         // calls accepted by a carrier
	Successes    int64 `json:"successes,omitempty"`     // verified
	Finished     int64 `json:"finished,omitempty"`      // ended, verified or not
	FailedChecks int64 `json:"failed_checks,omitempty"` // wrong codes
	Spend        int64 `json:"spend,omitempty"`         // prices of the starts, in units of verify.Money
}

// Plus returns the sum of both.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		c.Starts + o.Starts, c.Sends + o.Sends, c.Calls + o.Calls, c.Successes + o.Successes,
		c.Finished + o.Finished, c.FailedChecks + o.FailedChecks, c.Spend + o.Spend,
	}
}

// Conversion returns the conversion rate: successes in percent of finished verifications;
// 100 if none has finished.
func (c Counts) Conversion() float64 {
	if c.Finished == 0 {
		return 100
	}
	return 100 * float64(c.Successes) / float64(c.Finished)
}

// Entry has the counts of one node, account and place within a minute. Nodes exchange
// entries. Exactly one of Prefix, Source and Range is set.
type Entry struct {
	Minute  int64  `json:"m"` // minutes since 1970
	Account string `json:"a,omitempty"`
	Country string `json:"c,omitempty"`
	Network string `json:"n,omitempty"` // "" if unknown
	Prefix  string `json:"p,omitempty"`
	Source  string `json:"s,omitempty"`
	Range   string `json:"r,omitempty"` // a number without its last two digits
	Last    int    `json:"l,omitempty"` // the last two digits
	Counts
}

// place returns e without its counts: the key under which it is counted.
func (e Entry) place() Entry {
	e.Counts = Counts{}
	return e
}

// PrefixDigits is the number of leading digits in the prefix of a number: the country code
// and, in most plans, a block of one operator.
const PrefixDigits = 7

func prefixOf(number string) string { return number[:min(len(number), PrefixDigits)] }

// rangeOf splits a number into its range of 100 numbers and its index there.
func rangeOf(number string) (hundred string, last int) {
	if len(number) < 2 {
		return number, 0
	}
	cut := len(number) - 2
	return number[:cut], int(number[cut]-'0')*10 + int(number[cut+1]-'0')
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// series has the counts of one place by minute, oldest first, without minutes of zero
// counts.
type series struct {
	minutes []minuteCounts

	// Cached sum of the last query, updated by add: nearly all rules have the same window,
	// and a start queries several.
	from  int64
	sum   Counts
	known bool
}

type minuteCounts struct {
	minute int64
	Counts
}

// add counts n in a minute, which may be in the past, and removes minutes before oldest.
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

// since returns the sum of the minutes from the given one on, which must still be kept.
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

// turnBack removes the minutes after latest.
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

// Kind is the kind of a target.
type Kind string

// The kinds of targets.
const (
	KindNetwork Kind = "network"
	KindPrefix  Kind = "prefix"  // 7 digits
	KindCountry Kind = "country" // ISO 3166-1 alpha-2
	KindRange   Kind = "range"   // a number without its last two digits
	KindSource  Kind = "source"  // an IP address; for IPv6 the /64
	KindVoice   Kind = "voice"   // a prefix, for calls
	KindAccount Kind = "account" // the account itself
)

// Target is the object that a rule counts and blocks.
type Target struct {
	Account string // API key; "" for all accounts
	Kind    Kind
	Value   string
}

// seen are the numbers of one range with recent starts.
type seen struct{ last []seenNumber }

type seenNumber struct {
	last   int
	minute int64
}

// add records a number, and removes numbers before oldest.
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

// since returns how many distinct numbers were seen from a minute on, including with.
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

// turnBack removes the numbers seen after the minute latest.
func (s *seen) turnBack(latest int64) {
	s.last = slices.DeleteFunc(s.last, func(n seenNumber) bool { return n.minute > latest })
}

func (s *seen) newest() (minute int64) {
	for _, n := range s.last {
		minute = max(minute, n.minute)
	}
	return minute
}

// Bounds of the counters in memory: a minute of a series takes 64 bytes, a number of a
// range 16. Together at most about 60 MB.
const (
	maxMinutes = 600_000
	maxSeen    = 400_000
)

// counters are the counts of all nodes.
type counters struct {
	keep   int64 // minutes
	newest int64 // newest minute counted
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

// add counts an entry for each of its targets.
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

// targets returns the series in which an entry is counted.
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

// sum returns the counts of a target from a minute on.
func (c *counters) sum(t Target, since int64) Counts {
	s, _ := c.series.get(t)
	return s.since(since)
}

// numbers returns how many distinct numbers of a range were seen from a minute on,
// including the given one.
func (c *counters) numbers(hundred string, last int, since int64) int {
	s, _ := c.seen.get(hundred)
	return s.since(since, last)
}

// turnBack removes the counts of minutes from the future, after a clock that was ahead was
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

// expire removes data older than the window of every rule.
func (c *counters) expire(now int64) {
	c.turnBack(now)
	oldest := now - c.keep
	c.series.expire(func(s *series) bool { return s.newest() < oldest })
	c.seen.expire(func(s *seen) bool { return s.newest() < oldest })
}

// Networks maps numbers to networks by their first digits.
type Networks []NetworkPrefix

// NetworkPrefix assigns first digits to a network.
type NetworkPrefix struct{ Prefix, Name string }

// of returns the name of the network of a number; "" if unknown.
func (n Networks) of(number string) (name string) {
	longest := -1
	for _, known := range n {
		if len(known.Prefix) > longest && strings.HasPrefix(number, known.Prefix) {
			longest, name = len(known.Prefix), known.Name
		}
	}
	return name
}
