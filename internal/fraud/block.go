package fraud

import (
	"maps"
	"math"
	"time"

	"countersign/internal/verify"
)

// Action is what a block does.
type Action string

// The actions.
const (
	ActionBlock  Action = "block"  // who falls under it is refused
	ActionShadow Action = "shadow" // it says who would have been
	ActionAlert  Action = "alert"  // it only tells
)

// Block is a decision of a rule about a target, and why it was taken.
type Block struct {
	ID string
	Target
	Rule    Rule
	Action  Action
	Network string // of the number that was refused first: its name, or its prefix
	Figures Figures
	Since   time.Time
	Until   time.Time // zero: until it is lifted
	Repeat  int       // 1 the first time
	Ordinal int       // counts the blocks of this rule and target from 1: two nodes that decide the same have the same

	LiftedAt time.Time // zero while nobody has
	LiftedBy string
}

// Figures are what a rule went by.
type Figures struct {
	Window     string  `json:"window,omitempty"` // such as 1h0m0s
	Counts             // within it
	Conversion float64 `json:"conversion_percent,omitempty"`
	Numbers    int     `json:"numbers,omitempty"` // distinct
	Limit      float64 `json:"limit"`             // that was reached, or fallen below
	Mean       float64 `json:"mean,omitempty"`    // of the times before
	Sigma      float64 `json:"sigma,omitempty"`   // their standard deviation
}

// Count returns the figure that reached the limit of the rule: starts, numbers, calls,
// failed checks or, of a conversion, percent.
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

// Active reports whether the block holds. A block from the future does not.
func (b Block) Active(now time.Time) bool {
	return b.LiftedAt.IsZero() && (b.Until.IsZero() || now.Before(b.Until)) && !verify.FromFuture(b.Since, now)
}

// ended is when the block has come to its end; zero while it has none.
func (b Block) ended() time.Time {
	if !b.LiftedAt.IsZero() {
		return b.LiftedAt
	}
	return b.Until
}

// LiftedByAccount is who lifted a block that an account lifted itself, by an Unblock.
const LiftedByAccount = "network-unblock"

// liftedByHand reports whether the operator has lifted the block: somebody has looked,
// and the target begins anew.
func (b Block) liftedByHand() bool { return !b.LiftedAt.IsZero() && b.LiftedBy != LiftedByAccount }

// Unblock lets an account reach a network, whatever the rules say, for a time.
type Unblock struct {
	Account string
	Network string // as replies name it
	Since   time.Time
	Until   time.Time
}

type ruleTarget struct {
	rule   Rule
	target Target
}

// book knows the newest block of each rule and target.
type book struct {
	latest    *bounded[ruleTarget, known]
	unblocked map[unblockKey]Unblock
}

type unblockKey struct{ account, network string }

// known is the newest block of a rule and target, and when one of them was last lifted
// by hand: what was counted before counts no more.
type known struct {
	Block
	anew time.Time
}

// maxBlocks bounds the blocks that are in memory, and so does maxUnblocks.
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

// note takes a block that this node or another made or changed.
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

// holds reports whether the unblock is in force. One from the future is not.
func (u Unblock) holds(now time.Time) bool {
	return now.Before(u.Until) && !verify.FromFuture(u.Since, now)
}

// passes reports whether an account may reach a network whatever the rules say.
func (k *book) passes(account, network string, now time.Time) bool {
	return k.unblocked[unblockKey{account, network}].holds(now)
}

// next is the block that follows another of the same rule and target. durations are
// those of the rule.
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
