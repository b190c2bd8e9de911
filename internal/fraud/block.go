package fraud

import (
	"maps"
	"math"
	"time"

	"countersign/internal/verify"
)

// Action is the effect of a block.
type Action string

// The actions.
const (
	ActionBlock  Action = "block"  // refuses matching requests
	ActionShadow Action = "shadow" // reports requests that it would refuse
	ActionAlert  Action = "alert"  // only warns the operator
)

// Block is a decision of a rule about a target, with its figures.
type Block struct {
	ID string
	Target
	Rule    Rule
	Action  Action
	Network string // network of the first refused number: its name, or its prefix
	Figures Figures
	Since   time.Time
	Until   time.Time // zero until lifted
	Repeat  int       // number of consecutive blocks, from 1
	Ordinal int       // number of the block of this rule and target, from 1; nodes that decide the same use the same number

	LiftedAt time.Time // zero unless lifted
	LiftedBy string
}

// Figures are the values that a decision is based on.
type Figures struct {
	Window     string  `json:"window,omitempty"` // window of the counts, such as 1h0m0s
	Counts             // counts within the window
	Conversion float64 `json:"conversion_percent,omitempty"`
	Numbers    int     `json:"numbers,omitempty"` // distinct numbers
	Limit      float64 `json:"limit"`             // limit that was reached, or fallen below
	Mean       float64 `json:"mean,omitempty"`    // mean of earlier periods
	Sigma      float64 `json:"sigma,omitempty"`   // standard deviation of earlier periods
}

// Count returns the figure that reached the limit of the rule: starts, numbers, calls,
// failed checks or, for a conversion rate, percent.
func (b Block) Count() int64 {
	f := b.Figures
	switch b.Rule {
	case RuleConversion, RuleConversionAll, RuleConversionAlert:
		return int64(math.Round(f.Conversion))
	case RuleSequence:
		return int64(f.Numbers)
	case RuleUnverified:
		return f.Starts - f.Successes
	case RuleVoice:
		return f.Calls
	case RuleSource:
		if float64(f.FailedChecks) >= f.Limit {
			return f.FailedChecks
		}
	case RulePrefix, RuleNetwork, RuleCountry, RuleSpend:
	}
	return f.Starts
}

// Active reports whether the block is in force. A block from the future is not.
func (b Block) Active(now time.Time) bool {
	return b.LiftedAt.IsZero() && (b.Until.IsZero() || now.Before(b.Until)) && !verify.FromFuture(b.Since, now)
}

// ended returns the end of the block; zero if it has no end.
func (b Block) ended() time.Time {
	if !b.LiftedAt.IsZero() {
		return b.LiftedAt
	}
	return b.Until
}

// LiftedByAccount is the LiftedBy of a block that an account lifted by an Unblock.
const LiftedByAccount = "network-unblock"

// liftedByHand reports whether an operator lifted the block, which resets the counts of the
// target.
func (b Block) liftedByHand() bool { return !b.LiftedAt.IsZero() && b.LiftedBy != LiftedByAccount }

// Unblock exempts an account from the rules on a network for a time.
type Unblock struct {
	Account string
	Network string // name in replies
	Since   time.Time
	Until   time.Time
}

type ruleTarget struct {
	rule   Rule
	target Target
}

// book holds the newest block of each rule and target.
type book struct {
	latest    *bounded[ruleTarget, known]
	unblocked map[unblockKey]Unblock
}

type unblockKey struct{ account, network string }

// known is the newest block of a rule and target, with the last time at which an operator
// lifted one of them. Earlier counts are ignored.
type known struct {
	Block
	anew time.Time
}

// Bounds of the blocks and unblocks in memory.
const (
	maxBlocks   = 100_000
	maxUnblocks = 10_000
)

func newBook() *book {
	return &book{
		latest:    newBounded[ruleTarget](maxBlocks, func(known) int { return 1 }),
		unblocked: map[unblockKey]Unblock{},
	}
}

// note records a new or changed block of any node.
func (k *book) note(b Block) {
	key := ruleTarget{b.Rule, b.Target}
	old, ok := k.latest.get(key)
	if b.liftedByHand() && b.LiftedAt.After(old.anew) {
		old.anew = b.LiftedAt
	}
	if !ok || old.Ordinal <= b.Ordinal {
		old.Block = b
	}
	k.latest.put(key, old)
}

// unblock adds stored unblocks and deletes expired ones. At maxUnblocks it only extends
// known ones.
func (k *book) unblock(list []Unblock, now time.Time) {
	maps.DeleteFunc(k.unblocked, func(_ unblockKey, u Unblock) bool { return !u.holds(now) })
	for _, u := range list {
		key := unblockKey{u.Account, u.Network}
		if _, known := k.unblocked[key]; u.holds(now) && (known || len(k.unblocked) < maxUnblocks) {
			k.unblocked[key] = u
		}
	}
}

// holds reports whether the unblock is in force. An unblock from the future is not.
func (u Unblock) holds(now time.Time) bool {
	return now.Before(u.Until) && !verify.FromFuture(u.Since, now)
}

// passes reports whether an unblock exempts an account from the rules on a network.
func (k *book) passes(account, network string, now time.Time) bool {
	return k.unblocked[unblockKey{account, network}].holds(now)
}

// next returns b as the successor of a block of the same rule and target, with the
// durations of the rule.
func next(before Block, b Block, durations []time.Duration, within time.Duration) Block {
	b.Ordinal, b.Repeat = before.Ordinal+1, 1
	if end := before.ended(); before.Ordinal > 0 && before.Action == b.Action && b.Since.Sub(end) < within && !before.liftedByHand() &&
		!verify.FromFuture(before.Since, b.Since) {
		b.Repeat = before.Repeat + 1
	}
	if len(durations) == 0 {
		return b
	}
	if d := durations[min(b.Repeat, len(durations))-1]; d > 0 {
		b.Until = b.Since.Add(d)
	}
	return b
}
