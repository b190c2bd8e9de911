package config

import "time"

// Mode is the reaction to the findings of a rule: off, shadow (report only) or enforce.
type Mode string

// FraudRules are velocity rules that block networks, prefixes and countries. The Blocks
// of a rule are the durations of a first block and of repeats; the last applies to all
// later ones, and 0 means until it is lifted.
type FraudRules struct {
	RepeatWithin time.Duration `yaml:"repeat_within"` // time after a block in which another one is a repeat

	Conversion ConversionRule `yaml:"conversion"`
	Sequence   SequenceRule   `yaml:"sequence"`
	Unverified UnverifiedRule `yaml:"unverified"`
	Prefix     VolumeRule     `yaml:"prefix"`
	Network    VolumeRule     `yaml:"network"`
	Source     SourceRule     `yaml:"source"`
	Country    CountryRule    `yaml:"country"`
	Spend      SpendRule      `yaml:"spend"`
}

// ConversionRule blocks destinations with a low conversion rate.
type ConversionRule struct {
	Mode        Mode            `yaml:"mode"`         // per account
	AllAccounts Mode            `yaml:"all_accounts"` // over all accounts
	Window      time.Duration   `yaml:"window"`
	Finished    int             `yaml:"finished"` // minimum number of finished verifications
	Below       int             `yaml:"below"`    // block below this percentage
	Alert       int             `yaml:"alert"`    // alert below this percentage
	Blocks      []time.Duration `yaml:"blocks"`
}

// SequenceRule blocks ranges of 100 consecutive numbers of which many are verified in
// the window.
type SequenceRule struct {
	Mode    Mode            `yaml:"mode"`
	Window  time.Duration   `yaml:"window"`
	Numbers int             `yaml:"numbers"`
	Blocks  []time.Duration `yaml:"blocks"`
}

// UnverifiedRule bounds the starts without a success.
type UnverifiedRule struct {
	Mode    Mode            `yaml:"mode"`
	Window  time.Duration   `yaml:"window"`
	Percent int             `yaml:"percent"` // limit as a percentage of the successes in the window
	Prefix  int             `yaml:"prefix"`  // minimum limit for a prefix
	Country int             `yaml:"country"` // minimum limit for a country
	Blocks  []time.Duration `yaml:"blocks"`
}

// VolumeRule bounds all starts.
type VolumeRule struct {
	Mode   Mode            `yaml:"mode"`
	Window time.Duration   `yaml:"window"`
	Starts int             `yaml:"starts"` // 0 for no limit
	Blocks []time.Duration `yaml:"blocks"`
}

// SourceRule bounds the requests from one address.
type SourceRule struct {
	Mode         Mode            `yaml:"mode"`
	Window       time.Duration   `yaml:"window"`
	Starts       int             `yaml:"starts"`        // by the address of the API client; 0 for no limit
	FailedChecks int             `yaml:"failed_checks"` // by the ip_address of the check; 0 for no limit
	Blocks       []time.Duration `yaml:"blocks"`
}

// CountryRule detects unusually many starts of an account to a country.
type CountryRule struct {
	Mode   Mode            `yaml:"mode"`
	Starts int             `yaml:"starts"` // minimum number in 12 hours
	Sigma  int             `yaml:"sigma"`  // standard deviations above the mean
	Blocks []time.Duration `yaml:"blocks"`
}

// SpendRule reports accounts with unusually high spending. It never blocks.
type SpendRule struct {
	Mode  Mode `yaml:"mode"`
	Times int  `yaml:"times"` // multiple of the median of seven days
	Least int  `yaml:"least"` // minimum, in whole units of the currency
}

// FraudVoice limits calls.
type FraudVoice struct {
	Mode          Mode            `yaml:"mode"`           // mode of calls_per_hour
	Countries     []string        `yaml:"countries"`      // countries that may be called; empty: all that routes allow
	CallsPerHour  int             `yaml:"calls_per_hour"` // to a prefix of 7 digits; 0 for no limit
	Blocks        []time.Duration `yaml:"blocks"`
	PrefixCalls   int             `yaml:"prefix_calls"`   // concurrent calls over all trunks of a server to a prefix of 7 digits; 0 for no limit
	AllowPrefixes []string        `yaml:"allow_prefixes"` // prefixes that may be called although they are expensive
}

func defaultFraudRules() FraudRules {
	const day = 24 * time.Hour
	return FraudRules{
		RepeatWithin: day,
		Conversion: ConversionRule{
			Mode: "enforce", AllAccounts: "shadow", Window: time.Hour, Finished: 30, Below: 10, Alert: 35,
			Blocks: []time.Duration{20 * time.Minute, time.Hour, 6 * time.Hour, day, 0},
		},
		Sequence: SequenceRule{
			Mode: "enforce", Window: 10 * time.Minute, Numbers: 8,
			Blocks: []time.Duration{20 * time.Minute, time.Hour, 6 * time.Hour, day},
		},
		Unverified: UnverifiedRule{
			Mode: "enforce", Window: time.Hour, Percent: 300, Prefix: 30, Country: 500,
			Blocks: []time.Duration{time.Minute, 5 * time.Minute, 20 * time.Minute},
		},
		Prefix:  VolumeRule{Mode: "enforce", Window: time.Hour, Starts: 2000, Blocks: []time.Duration{10 * time.Minute}},
		Network: VolumeRule{Mode: "off", Window: time.Hour, Blocks: []time.Duration{10 * time.Minute}},
		Source:  SourceRule{Mode: "shadow", Window: time.Hour, FailedChecks: 100, Blocks: []time.Duration{10 * time.Minute}},
		Country: CountryRule{Mode: "shadow", Starts: 200, Sigma: 6, Blocks: []time.Duration{time.Hour, 6 * time.Hour}},
		Spend:   SpendRule{Mode: "shadow", Times: 10, Least: 10},
	}
}

func defaultFraudVoice() FraudVoice {
	return FraudVoice{Mode: "enforce", CallsPerHour: 60, Blocks: []time.Duration{10 * time.Minute}, PrefixCalls: 2}
}

// Shadow returns f with all enforced rules in shadow mode.
func (f Fraud) Shadow() Fraud {
	for _, m := range []*Mode{
		&f.Rules.Conversion.Mode, &f.Rules.Conversion.AllAccounts, &f.Rules.Sequence.Mode, &f.Rules.Unverified.Mode,
		&f.Rules.Prefix.Mode, &f.Rules.Network.Mode, &f.Rules.Source.Mode, &f.Rules.Country.Mode, &f.Voice.Mode,
	} {
		if *m == "enforce" {
			*m = "shadow"
		}
	}
	return f
}

const (
	maxRuleCount  = 1_000_000
	maxRuleBlocks = 10
)

// ruleChecks are the checks of one rule's settings.
type ruleChecks struct {
	p   *problems
	key string
}

func (c ruleChecks) mode(name string, m Mode) {
	c.p.add(c.key+"."+name, oneOf(string(m), "off", "shadow", "enforce"))
}

func (c ruleChecks) window(d time.Duration) {
	if d%time.Minute != 0 {
		c.p.addf(c.key+".window", "must be whole minutes, not %s", d)
	}
}

func (c ruleChecks) blocks(list []time.Duration) {
	if len(list) < 1 || len(list) > maxRuleBlocks {
		c.p.addf(c.key+".blocks", "must have 1 to %d durations", maxRuleBlocks)
	}
	for i, d := range list {
		if d == 0 && i < len(list)-1 {
			c.p.addf(index(c.key+".blocks", i), "must not be 0 (until lifted); only the last one may be 0")
		}
	}
}

func (r FraudRules) validate(p *problems) {
	at := func(name string) ruleChecks { return ruleChecks{p, "fraud.rules." + name} }
	c := at("conversion")
	c.mode("mode", r.Conversion.Mode)
	c.mode("all_accounts", r.Conversion.AllAccounts)
	c.window(r.Conversion.Window)
	c.blocks(r.Conversion.Blocks)
	c = at("sequence")
	c.mode("mode", r.Sequence.Mode)
	c.window(r.Sequence.Window)
	c.blocks(r.Sequence.Blocks)
	c = at("unverified")
	c.mode("mode", r.Unverified.Mode)
	c.window(r.Unverified.Window)
	c.blocks(r.Unverified.Blocks)
	for name, v := range map[string]VolumeRule{"prefix": r.Prefix, "network": r.Network} {
		c = at(name)
		c.mode("mode", v.Mode)
		c.window(v.Window)
		c.blocks(v.Blocks)
	}
	r.validateRare(p)
}

func (r FraudRules) validateRare(p *problems) {
	at := func(name string) ruleChecks { return ruleChecks{p, "fraud.rules." + name} }
	c := at("source")
	c.mode("mode", r.Source.Mode)
	c.window(r.Source.Window)
	c.blocks(r.Source.Blocks)
	c = at("country")
	c.mode("mode", r.Country.Mode)
	c.blocks(r.Country.Blocks)
	c = at("spend")
	c.mode("mode", r.Spend.Mode)
	if r.Spend.Mode == "enforce" {
		p.addf("fraud.rules.spend.mode", "must be off or shadow; to stop an account, set its daily cap")
	}
}

func (v FraudVoice) validate(p *problems) {
	c := ruleChecks{p, "fraud.voice"}
	c.mode("mode", v.Mode)
	c.blocks(v.Blocks)
	for i, country := range v.Countries {
		p.add(index("fraud.voice.countries", i), checkCountry(country))
	}
	for i, prefix := range v.AllowPrefixes {
		key := index("fraud.voice.allow_prefixes", i)
		if prefix == "" {
			p.addf(key, "would allow every number")
		}
		p.add(key, checkDigits(prefix))
	}
}
