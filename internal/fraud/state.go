package fraud

import (
	"io"
	"sync"
	"time"

	"countersign/internal/verify"
)

// State is one node's view of the counts of all nodes and of the blocks. It decides in
// memory; its owner sends the result of Drain to the other nodes and passes their counts to
// Merge. It is safe for concurrent use.
type State struct {
	rules    Rules
	networks Networks
	rand     io.Reader

	alertBlocks []time.Duration // an alert is raised once in a window

	mu       sync.Mutex
	asked    [maxChecks]check // scratch space for Start: a local array would escape to the heap through the function calls
	counters *counters
	book     *book

	counted map[Entry]Counts // counts by place and minute since the last Drain
	made    []Block          // new blocks since the last Drain
}

// maxCounted bounds the entries that wait for Drain. Entries beyond it are counted only by
// this node.
const maxCounted = 200_000

// NewState returns an empty State. rand generates the ids of its blocks.
func NewState(rules Rules, networks Networks, rand io.Reader) *State {
	return &State{
		rules: rules, networks: networks, rand: rand, alertBlocks: []time.Duration{rules.Conversion.Window},
		counters: newCounters(rules.longest()), book: newBook(), counted: map[Entry]Counts{},
	}
}

// Keep returns how long counts are needed.
func (s *State) Keep() time.Duration { return s.rules.longest() + time.Minute }

// Decision is the result of the rules for an attempt.
type Decision struct {
	Refused *Block  // nil if permitted
	Would   []Block // blocks of rules in shadow mode
	Fresh   []Block // new blocks
	Network string  // network of the number: its name, or its prefix
	Exempt  bool    // the account has an unblock for the network
}

// Start decides about a start, and counts it unless it is refused, so concurrent starts
// cannot exceed a limit. If the start fails later, call TakeBack.
func (s *State) Start(a Attempt, now time.Time) Decision {
	at := s.place(a.Account, a.Number, a.Country, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters.turnBack(at.Minute)
	d := s.ask(at, a.Account, s.checks(s.asked[:0], &a, &at), now)
	s.keepAll(d.Fresh)
	if d.Refused == nil {
		s.start(a, at, 1)
	}
	return d
}

// Try returns the decision that Start would make, without counts or blocks.
func (s *State) Try(a Attempt, now time.Time) Decision {
	at := s.place(a.Account, a.Number, a.Country, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ask(at, a.Account, s.checks(s.asked[:0], &a, &at), now)
}

// Pass counts a start that continues although the rules refused it.
func (s *State) Pass(a Attempt, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(a, s.place(a.Account, a.Number, a.Country, now), 1)
}

// TakeBack uncounts a failed start of the time then. Its number remains in the sequence
// counts.
func (s *State) TakeBack(a Attempt, then time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(a, s.place(a.Account, a.Number, a.Country, then), -1)
}

func (s *State) start(a Attempt, at Entry, n int64) {
	if n > 0 {
		s.count(Entry{Minute: at.Minute, Range: at.Range, Last: at.Last})
	}
	if a.Source != "" && s.rules.Source.Mode != Off && s.rules.Source.Starts > 0 {
		s.count(Entry{Minute: at.Minute, Account: a.Account, Source: a.Source, Counts: Counts{Starts: n}})
	}
	at.Counts = Counts{Starts: n, Spend: n * int64(a.Price)}
	s.count(at)
}

func (s *State) keepAll(fresh []Block) {
	for _, b := range fresh {
		s.keep(b)
	}
}

// ask applies checks to an attempt. The first enforced block refuses it. The caller keeps
// the fresh blocks.
func (s *State) ask(at Entry, account string, checks []check, now time.Time) Decision {
	d := Decision{Network: at.network()}
	if d.Exempt = s.book.passes(account, d.Network, now); d.Exempt {
		return d
	}
	for i := range checks {
		c := &checks[i]
		b, holds, fresh := s.judge(c, d.Network, now)
		if !holds {
			continue
		}
		if fresh {
			d.Fresh = append(d.Fresh, b)
		}
		switch {
		case b.Action == ActionAlert:
		case c.mode != Enforce:
			d.Would = append(d.Would, b)
		case d.Refused == nil:
			refused := b // b itself stays on the stack
			d.Refused = &refused
		}
	}
	return d
}

// Call decides about a call, and counts it unless it is refused.
func (s *State) Call(account, number, country string, now time.Time) Decision {
	at := s.place(account, number, country, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters.turnBack(at.Minute)
	d := s.ask(at, account, []check{s.voice(at.Prefix)}[:s.voiced()], now)
	s.keepAll(d.Fresh)
	if d.Refused == nil {
		at.Counts = Counts{Calls: 1}
		s.count(at)
	}
	return d
}

func (s *State) voiced() int {
	if s.rules.Voice.Mode == Off || s.rules.Voice.CallsPerHour == 0 {
		return 0
	}
	return 1
}

// MayCheck decides about a code from an address, as reported by the application.
func (s *State) MayCheck(account, source string, now time.Time) Decision {
	conf := s.rules.Source
	if source == "" || conf.Mode == Off || conf.FailedChecks == 0 {
		return Decision{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters.turnBack(minuteOf(now))
	c := s.source(account, source, conf.FailedChecks, overFailedChecks)
	d := s.ask(Entry{}, account, []check{c}, now)
	s.keepAll(d.Fresh)
	return d
}

// Ended counts a finished verification.
func (s *State) Ended(v verify.Verification, now time.Time) {
	n := Counts{Finished: 1}
	if v.Status == verify.Success {
		n.Successes = 1
	}
	s.note(v.Account, v.To, n, now)
}

// Sent counts an SMS that a carrier accepted.
func (s *State) Sent(v verify.Verification, to verify.Address, now time.Time) {
	s.note(v.Account, to, Counts{Sends: 1}, now)
}

// Failed counts a wrong code from source; "" if unknown.
func (s *State) Failed(v verify.Verification, source string, now time.Time) {
	s.note(v.Account, v.To, Counts{FailedChecks: 1}, now)
	if source == "" || s.rules.Source.Mode == Off {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(Entry{Minute: minuteOf(now), Account: v.Account, Source: source, Counts: Counts{FailedChecks: 1}})
}

func (s *State) note(account string, to verify.Address, n Counts, now time.Time) {
	at := s.place(account, to.Number(), to.Country, now)
	at.Counts = n
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(at)
}

// place returns the entry under which a number is counted.
func (s *State) place(account, number, country string, now time.Time) Entry {
	e := Entry{
		Minute: minuteOf(now), Account: account, Country: country,
		Network: s.networks.of(number), Prefix: prefixOf(number),
	}
	e.Range, e.Last = rangeOf(verify.CanonicalNumber(number))
	return e
}

// network returns the name in replies.
func (e Entry) network() string {
	if e.Network != "" {
		return e.Network
	}
	return e.Prefix
}

// count counts an entry here and for the next Drain. An entry without number and source,
// such as for an e-mail address, has no target.
func (s *State) count(e Entry) {
	if e.Prefix == "" && e.Range == "" && e.Source == "" {
		return
	}
	if e.Prefix != "" { // counted by prefix, not by number
		e.Range, e.Last = "", 0
	}
	s.counters.add(e, e.Minute)
	at := e.place()
	if n, ok := s.counted[at]; ok || len(s.counted) < maxCounted {
		s.counted[at] = n.Plus(e.Counts)
	}
}

// Report passes figures from another source about a target to a rule, which blocks the
// target unless it is blocked. It returns the block and whether that is new.
func (s *State) Report(rule Rule, t Target, f Figures, now time.Time) (b Block, fresh bool) {
	mode, blocks := s.rules.Country.Mode, s.rules.Country.Blocks
	if rule == RuleSpend {
		mode, blocks = Shadow, []time.Duration{24 * time.Hour}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _, fresh = s.judge(&check{rule: rule, mode: mode, target: t, blocks: blocks, over: overGiven, given: f}, t.Value, now)
	if fresh {
		s.keep(b)
	}
	return b, fresh
}

// Lifted returns the last time at which an operator lifted a block of a rule and target;
// zero if never, or if that time is from the future.
func (s *State) Lifted(rule Rule, t Target, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := s.book.latest.get(ruleTarget{rule, t})
	if verify.FromFuture(b.anew, now) {
		return time.Time{}
	}
	return b.anew
}

// Rules returns the rules of the state.
func (s *State) Rules() Rules { return s.rules }

// Drain returns the counts and blocks that are new since the previous Drain, for the
// other nodes.
func (s *State) Drain() ([]Entry, []Block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []Entry
	for e, n := range s.counted {
		if n != (Counts{}) || e.Range != "" {
			e.Counts = n
			entries = append(entries, e)
		}
	}
	made := s.made
	s.counted, s.made = map[Entry]Counts{}, nil
	return entries, made
}

// Merge adds the counts of another node. It ignores entries from the future.
func (s *State) Merge(entries []Entry, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.Minute <= minuteOf(now.Add(verify.FutureTolerance)) {
			s.counters.add(e, minuteOf(now))
		}
	}
}

// LoadBlocks adds stored blocks and unblocks.
func (s *State) LoadBlocks(blocks []Block, unblocks []Unblock, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blocks {
		s.book.note(b)
	}
	s.book.unblock(unblocks, now)
}

// Expire removes data older than the window of every rule. It returns the number of places
// in memory and of evictions so far.
func (s *State) Expire(now time.Time) (places, evicted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters.expire(minuteOf(now))
	return s.counters.series.len() + s.counters.seen.len(), s.counters.series.evicted + s.counters.seen.evicted
}
