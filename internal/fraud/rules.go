package fraud

import (
	"time"

	"countersign/internal/verify"
)

// Mode says what becomes of a decision.
type Mode string

// The modes of a rule.
const (
	Off     Mode = "off"
	Shadow  Mode = "shadow"  // it is kept, logged and counted, and nobody is refused
	Enforce Mode = "enforce" // who falls under it is refused
)

// Rule is the name of a velocity rule, in metrics, the table of blocks and the
// configuration.
type Rule string

// The rules. Those that end in _alert only ever tell.
const (
	RuleConversion      Rule = "conversion"       // of an account on a network or a prefix
	RuleConversionAll   Rule = "conversion_all"   // the same of all accounts together
	RuleConversionAlert Rule = "conversion_alert" // low, but not low enough to block
	RuleSequence        Rule = "sequence"         // many numbers in a row
	RuleUnverified      Rule = "unverified"       // codes that nobody has typed
	RulePrefix          Rule = "prefix"           // starts by prefix
	RuleNetwork         Rule = "network"          // starts by network
	RuleSource          Rule = "source"           // starts and failed checks by address
	RuleCountry         Rule = "country"          // a country that nobody knew of this account
	RuleSpend           Rule = "spend_alert"      // an account that spends more than it used to
	RuleVoice           Rule = "voice"            // calls by prefix
)

// RuleNames returns the names of all rules.
func RuleNames() []Rule {
	return []Rule{
		RuleConversion, RuleConversionAll, RuleConversionAlert, RuleSequence, RuleUnverified, RulePrefix, RuleNetwork,
		RuleSource, RuleCountry, RuleSpend, RuleVoice,
	}
}

// Rules are the limits. Windows are whole minutes up to [MaxWindow], and slide by
// the minute. Blocks are how long a target is blocked, the first time and when it
// happens again; the last holds for all later times, and 0 is until it is lifted.
type Rules struct {
	// RepeatWithin is how soon after a block the next of the same rule and target
	// counts as a repeat.
	RepeatWithin time.Duration

	Conversion Conversion
	Sequence   Sequence
	Unverified Unverified
	Prefix     Volume
	Network    Volume
	Source     Source
	Country    Country
	Spend      Spend
	Voice      Voice
}

// MaxWindow is the longest window of a rule on what is kept by the minute.
const MaxWindow = 24 * time.Hour

// Conversion blocks where too few of the verifications that are over were verified.
type Conversion struct {
	Mode   Mode
	All    Mode // the same of all accounts together
	Window time.Duration
	// Finished is how many must be over before anything is decided.
	Finished int
	Below    int // percent: blocked
	Alert    int // percent: told
	Blocks   []time.Duration
}

// Sequence blocks 100 numbers in a row when many of them are verified at a time.
type Sequence struct {
	Mode    Mode
	Window  time.Duration
	Numbers int // distinct, of all accounts
	Blocks  []time.Duration
}

// Unverified bounds what may be under way: starts that nobody has verified, as a
// share of the successes of the same time, with a floor for the new.
type Unverified struct {
	Mode    Mode
	Window  time.Duration
	Percent int // of the successes
	Prefix  int // floor of an account on a prefix
	Country int // floor of an account in a country
	Blocks  []time.Duration
}

// Volume bounds starts, whatever comes of them. 0 is no bound.
type Volume struct {
	Mode   Mode
	Window time.Duration
	Starts int
	Blocks []time.Duration
}

// Source bounds what comes from one address: starts by who calls the API, and wrong
// codes by the address that the application reports with a check. 0 is no bound.
type Source struct {
	Mode         Mode
	Window       time.Duration
	Starts       int
	FailedChecks int
	Blocks       []time.Duration
}

// Country tells, or blocks, when an account sends to a country far more than it
// ever did.
type Country struct {
	Mode   Mode
	Starts int // in 12 hours, at least
	Sigma  int // standard deviations above the mean of the half-days before
	Blocks []time.Duration
}

// Spend tells when an account has spent far more today than on other days.
type Spend struct {
	Mode  Mode
	Times int          // the median of the last seven days
	Least verify.Money // below this nothing is told
}

// Voice bounds calls. Their prefix is the first 7 digits, as everywhere.
type Voice struct {
	Mode         Mode     // of CallsPerHour
	Countries    []string // that may be called; none: all that routes allow
	CallsPerHour int      // to a prefix, of all accounts; 0 is no bound
	Blocks       []time.Duration
	// AllowPrefixes are first digits of numbers that are reached though they cost
	// more than others: premium rate, shared cost, satellite.
	AllowPrefixes []string
}

// longest is how far back a rule looks that counts by the minute.
func (r Rules) longest() time.Duration {
	return max(r.Conversion.Window, r.Sequence.Window, r.Unverified.Window, r.Prefix.Window,
		r.Network.Window, r.Source.Window, time.Hour)
}
