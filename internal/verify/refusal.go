package verify

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rule names the rule that refused a start. It is stored, so a name never changes.
type Rule string

// The rules, in the order of their kinds.
const (
	RuleInternal      Rule = "internal_error"
	RuleNoPrice       Rule = "no_price"
	RuleRate          Rule = "requests_per_second"
	RuleSource        Rule = "velocity_source"
	RuleMissing       Rule = "missing_parameter"
	RuleInvalid       Rule = "invalid_parameter"
	RuleCredentials   Rule = "credentials"
	RuleSources       Rule = "sources"
	RuleSignature     Rule = "signature"
	RuleNoRoute       Rule = "no_route"
	RuleBlockedNumber Rule = "blocked_number"
	RuleCap           Rule = "cap"
	RuleVelocity      Rule = "velocity"
	RuleBarred        Rule = "barred"
	RuleBalance       Rule = "balance"
	RuleDailyCap      Rule = "daily_cap"
	RuleConcurrent    Rule = "concurrent"
	RuleNetwork       Rule = "unsupported_network"
	RuleCountries     Rule = "countries"
	RulePremium       Rule = "premium_number"
	RuleVoiceCountry  Rule = "voice_country"
	RuleRequireType   Rule = "require_type"
	RuleCustomPIN     Rule = "pin_code"
	RuleTrial         Rule = "trial"
	RuleUnavailable   Rule = "overload"
)

const (
	maxDetail   = 120 // octets of Cause.Detail
	unknownRule = "refused by a rule that this version does not have"
)

// Figures is the unit of the figures of a rule.
type Figures string

// The units of figures.
const (
	NoFigures Figures = ""
	Counts    Figures = "count"
	Amounts   Figures = "money" // 10⁻⁸ of the currency, as [Money]
)

// Format writes a figure in the unit.
func (f Figures) Format(n int64) string {
	switch f {
	case Amounts:
		return Money(n).String()
	case NoFigures, Counts:
	}
	return strconv.FormatInt(n, 10)
}

// RuleInfo is the row of a rule in the table of refusals.
type RuleInfo struct {
	Rule   Rule
	Kind   Kind
	Unit   Figures
	Text   string // sentence with {detail}, {count} and {limit}
	Remedy string // imperative; "" if waiting is the only one
}

// Rules returns the table of refusals: one row for each rule that may refuse a start.
// The first row of a kind is the rule of an [Error] of that kind without a [Cause].
func Rules() []RuleInfo {
	return []RuleInfo{
		{RuleInternal, KindInternal, NoFigures, "the server failed", "see the log for \"call failed\""},
		{RuleNoPrice, KindInternal, NoFigures, "no price for this destination ({detail})", "add a price: countersign price set"},
		{RuleRate, KindThrottled, Counts, "the account made more than {limit} requests in one second", "slow the application down, or raise the limit: countersign account set KEY --rate N"},
		{RuleSource, KindThrottled, Counts, "too many starts from one address ({count}, limit {limit})", "see fraud.rules.source; lift the block: countersign fraud lift ID"},
		{RuleMissing, KindMissingParameter, NoFigures, "parameter {detail} is missing", "correct the application"},
		{RuleInvalid, KindInvalidParameter, NoFigures, "a parameter cannot be used: {detail}", "correct the application"},
		{RuleCredentials, KindBadCredentials, NoFigures, "wrong api_key, secret or signature", "compare the secret of the application: countersign account secret list KEY"},
		{RuleSources, KindBadCredentials, NoFigures, "right secret, but from an address outside the account's sources", "add the network: countersign account set KEY --allow-from CIDR"},
		{RuleSignature, KindBadCredentials, NoFigures, "the signature was used before", "give each request its own timestamp"},
		{RuleNoRoute, KindUnroutable, NoFigures, "no route for {detail} to this number", "add a route with carriers to the configuration"},
		{RuleBlockedNumber, KindBlocked, NoFigures, "the number is on the block list", "countersign number unblock NUMBER"},
		{RuleCap, KindBlocked, Counts, "the number is at its cap {detail} ({count} of {limit})", "wait, or: countersign number unlock NUMBER"},
		{RuleVelocity, KindBlocked, Counts, "velocity rule {detail} blocks the destination ({count}, limit {limit})", "countersign fraud blocks; countersign fraud lift ID"},
		{RuleBarred, KindBarred, NoFigures, "the account is barred", "countersign account unbar KEY"},
		{RuleBalance, KindNoCredit, Amounts, "the balance of {limit} does not cover the price of {count}", "countersign account credit KEY AMOUNT"},
		{RuleDailyCap, KindNoCredit, Amounts, "the day's spending would be {count}, over the daily cap of {limit}", "raise the cap: countersign account set KEY --daily-cap AMOUNT"},
		{RuleConcurrent, KindConcurrent, NoFigures, "verification {detail} of this number is in progress", "check or cancel that verification, or wait for its end"},
		{RuleNetwork, KindUnsupportedNetwork, NoFigures, "networks.unsupported excludes prefix {detail}", "remove the prefix from networks.unsupported"},
		{RuleCountries, KindUnsupportedNetwork, NoFigures, "the account may not verify numbers of country {detail}", "add the country: countersign account set KEY --allow-country CC"},
		{RulePremium, KindUnsupportedNetwork, NoFigures, "the number is premium rate, shared cost or satellite", "allow the prefix: fraud.voice.allow_prefixes"},
		{RuleVoiceCountry, KindUnsupportedNetwork, NoFigures, "calls to country {detail} are not allowed", "add the country to fraud.voice.countries"},
		{RuleRequireType, KindUnsupportedNetwork, NoFigures, "the number is not of the type {detail} that the request demands", "correct require_type in the application"},
		{RuleCustomPIN, KindCustomPINNotAllowed, NoFigures, "the account may not choose the PIN (pin_code)", "allow it: countersign account set KEY --pin-code"},
		{RuleTrial, KindNotApproved, NoFigures, "trial account, and the number is not approved", "countersign account approve KEY NUMBER"},
		{RuleUnavailable, KindUnavailable, NoFigures, "the server was stopping or overloaded", "compare the load of the machine and the database, then try again"},
	}
}

// Info returns the row of the rule. ok is false for a rule that is not in the table.
func (r Rule) Info() (info RuleInfo, ok bool) {
	rules := Rules()
	i := slices.IndexFunc(rules, func(i RuleInfo) bool { return i.Rule == r })
	if i < 0 {
		return RuleInfo{Rule: r, Text: unknownRule}, false
	}
	return rules[i], true
}

// Cause is the rule that refused a start, with its figures.
type Cause struct {
	Rule   Rule
	Detail string    // parameter, cap, velocity rule or verification concerned, or ""
	Count  int64     // in the unit of the rule
	Limit  int64     // in the unit of the rule
	Until  time.Time // time from which the rule permits a start; zero if unknown
}

// Cause returns the cause of the refusal. An error without a cause gets the first rule of
// its kind, and the parameter or verification that the error names.
func (e *Error) Cause() Cause {
	c := e.By
	if c.Rule == "" {
		c.Rule = ruleOf(e.Kind)
	}
	if c.Detail == "" {
		c.Detail = e.name()
		if c.Detail != "" && e.Reason != "" {
			c.Detail += ": " + e.Reason
		}
		if c.Detail == "" && e.Request != (ID{}) {
			c.Detail = e.Request.Hex()
		}
	}
	if len(c.Detail) > maxDetail {
		c.Detail = strings.ToValidUTF8(c.Detail[:maxDetail], "")
	}
	return c
}

// ruleOf returns the first rule of a kind; "" for a kind that refuses no start.
func ruleOf(kind Kind) Rule {
	for _, info := range Rules() {
		if info.Kind == kind {
			return info.Rule
		}
	}
	return ""
}

// String returns the cause as a sentence without a full stop.
func (c Cause) String() string {
	info, _ := c.Rule.Info()
	return strings.NewReplacer("{detail}", cmp.Or(c.Detail, "unknown"),
		"{count}", info.Unit.Format(c.Count), "{limit}", info.Unit.Format(c.Limit)).Replace(info.Text)
}

// Refusal is a refused start, or several equal ones.
type Refusal struct {
	ID      ID     // id of the stored row
	Account string // its API key; "" without a proven account
	Number  string // E.164 digits without "+"; "" if not stored
	Cause
	Source      string // address of the last request; "" if not stored
	Times       int64  // number of refusals
	First, Last time.Time
}

// SumRefusals adds up refusals of the same rule, account and number. The list, and the
// result, are ordered from the latest; each sum has the cause and source of its latest
// refusal.
func SumRefusals(list []Refusal) (sums []Refusal) {
	for _, r := range list {
		i := slices.IndexFunc(sums, func(s Refusal) bool {
			return s.Account == r.Account && s.Number == r.Number && s.Rule == r.Rule
		})
		if i < 0 {
			sums = append(sums, r)
			continue
		}
		sums[i].Times += r.Times
		if r.First.Before(sums[i].First) {
			sums[i].First = r.First
		}
	}
	return sums
}
