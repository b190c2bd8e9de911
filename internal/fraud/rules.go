package fraud

import (
	"time"

	"countersign/internal/verify"
)

// Mode is the effect of a rule's decisions.
type Mode string

// The modes of a rule.
const (
	Off     Mode = "off"
	Shadow  Mode = "shadow"  // decisions are stored, logged and counted, but refuse no request
	Enforce Mode = "enforce" // matching requests are refused
)

// Rule is the name of a velocity rule in metrics, the table of blocks and the
// configuration.
type Rule string

// The rules. Those ending in _alert never refuse.
const (
	RuleConversion      Rule = "conversion"       // conversion rate of an account on a network or a prefix
	RuleConversionAll   Rule = "conversion_all"   // conversion rate of all accounts together
	RuleConversionAlert Rule = "conversion_alert" // conversion rate that is low, but not enough to block
	RuleSequence        Rule = "sequence"         // many consecutive numbers
	RuleUnverified      Rule = "unverified"       // verifications without a right code
	RulePrefix          Rule = "prefix"           // starts by prefix
	RuleNetwork         Rule = "network"          // starts by network
	RuleSource          Rule = "source"           // starts and failed checks by address
	RuleCountry         Rule = "country"          // sudden volume of an account in a country
	RuleSpend           Rule = "spend_alert"      // sudden spending of an account
	RuleVoice           Rule = "voice"            // calls by prefix
)

// RuleNames returns the names of all rules.
func RuleNames() []Rule {
	return []Rule{
		RuleConversion, RuleConversionAll, RuleConversionAlert, RuleSequence, RuleUnverified, RulePrefix, RuleNetwork,
		RuleSource, RuleCountry, RuleSpend, RuleVoice,
	}
}

// Rules are the limits. Windows are whole minutes up to [MaxWindow], and slide by the
// minute. Blocks are the durations of the first and of repeated blocks of a target; the
// last applies to all later ones, and 0 means until lifted.
type Rules struct {
	// RepeatWithin is the time after a block during which the next of the same rule and
	// target counts as a repeat.
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

// MaxWindow is the longest window of a rule on counts by the minute.
const MaxWindow = 24 * time.Hour

// Conversion blocks targets with a low conversion rate.
type Conversion struct {
	Mode   Mode
	All    Mode // mode of the rule for all accounts together
	Window time.Duration
	// Finished is the minimum number of finished verifications for a decision.
	Finished int
	Below    int // percent below which the target is blocked
	Alert    int // percent below which the operator is alerted
	Blocks   []time.Duration
}

// Sequence blocks a range of 100 numbers if verifications of many of them start in a
// window.
type Sequence struct {
	Mode    Mode
	Window  time.Duration
	Numbers int // distinct, of all accounts
	Blocks  []time.Duration
}

// Unverified bounds the starts without a success to a base number plus a percentage of the
// successes in the same window. The base lets new accounts start.
type Unverified struct {
	Mode    Mode
	Window  time.Duration
	Percent int // percentage of the successes
	Prefix  int // base number of an account on a prefix
	Country int // base number of an account in a country
	Blocks  []time.Duration
}

// Volume bounds starts regardless of their outcome. 0 is no bound.
type Volume struct {
	Mode   Mode
	Window time.Duration
	Starts int
	Blocks []time.Duration
}

// Source bounds the events of one address: starts by the address of the API client, and
// wrong codes by the address that the application reports with a check. 0 is no bound.
type Source struct {
	Mode         Mode
	Window       time.Duration
	Starts       int
	FailedChecks int
	Blocks       []time.Duration
}

// Country alerts or blocks when an account's volume in a country exceeds its history by
// far.
type Country struct {
	Mode   Mode
	Starts int // minimum in 12 hours
	Sigma  int // standard deviations above the mean of earlier half-days
	Blocks []time.Duration
}

// Spend alerts when an account's spending today exceeds its other days by far.
type Spend struct {
	Mode  Mode
	Times int          // multiple of the median of the last seven days
	Least verify.Money // minimum spending for an alert
}

// Voice bounds calls. Their prefix is the first 7 digits (see PrefixDigits).
type Voice struct {
	Mode         Mode     // mode of CallsPerHour
	Countries    []string // allow-list of countries; empty for all that routes allow
	CallsPerHour int      // calls to a prefix, all accounts together; 0 is no bound
	Blocks       []time.Duration
	// AllowPrefixes are first digits of numbers that are permitted despite a higher cost:
	// premium rate, shared cost, satellite.
	AllowPrefixes []string
}

// longest returns the longest window of a rule that counts by the minute.
func (r Rules) longest() time.Duration {
	return max(r.Conversion.Window, r.Sequence.Window, r.Unverified.Window, r.Prefix.Window,
		r.Network.Window, r.Source.Window, time.Hour)
}
