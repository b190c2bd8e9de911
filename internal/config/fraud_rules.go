package config

import "time"

// Mode says what becomes of what a rule finds: off, shadow (it is only told) or
// enforce.
type Mode string

// FraudRules watch how the installation is used, and block networks, prefixes and
// countries. Blocks are how long, the first time and when it happens again; the last
// holds for all later times, and 0 is until it is lifted.
type FraudRules struct {
	RepeatWithin time.Duration `yaml:"repeat_within"` // after the end of a block, another one is a repeat

	Conversion ConversionRule `yaml:"conversion"`
	Sequence   SequenceRule   `yaml:"sequence"`
	Unverified UnverifiedRule `yaml:"unverified"`
	Prefix     VolumeRule     `yaml:"prefix"`
	Network    VolumeRule     `yaml:"network"`
	Source     SourceRule     `yaml:"source"`
	Country    CountryRule    `yaml:"country"`
	Spend      SpendRule      `yaml:"spend"`
}

// ConversionRule blocks where too few verifications succeed.
type ConversionRule struct {
	Mode        Mode            `yaml:"mode"`
	AllAccounts Mode            `yaml:"all_accounts"` // the same of all accounts together
	Window      time.Duration   `yaml:"window"`
	Finished    int             `yaml:"finished"` // that must be over before anything is decided
	Below       int             `yaml:"below"`    // percent: blocked
	Alert       int             `yaml:"alert"`    // percent: told
	Blocks      []time.Duration `yaml:"blocks"`
}

// SequenceRule blocks 100 numbers in a row of which many are verified at a time.
type SequenceRule struct {
	Mode    Mode            `yaml:"mode"`
	Window  time.Duration   `yaml:"window"`
	Numbers int             `yaml:"numbers"`
	Blocks  []time.Duration `yaml:"blocks"`
}

// UnverifiedRule bounds the verifications that nobody has finished with success.
type UnverifiedRule struct {
	Mode    Mode            `yaml:"mode"`
	Window  time.Duration   `yaml:"window"`
	Percent int             `yaml:"percent"` // of the successes in the window
	Prefix  int             `yaml:"prefix"`  // at least so many, to a prefix
	Country int             `yaml:"country"` // at least so many, to a country
	Blocks  []time.Duration `yaml:"blocks"`
}

// VolumeRule bounds starts, whatever comes of them.
type VolumeRule struct {
	Mode   Mode            `yaml:"mode"`
	Window time.Duration   `yaml:"window"`
	Starts int             `yaml:"starts"` // 0 for no bound
	Blocks []time.Duration `yaml:"blocks"`
}

// SourceRule bounds what comes from one address.
type SourceRule struct {
	Mode         Mode            `yaml:"mode"`
	Window       time.Duration   `yaml:"window"`
	Starts       int             `yaml:"starts"`        // by the address that calls the API; 0 for no bound
	FailedChecks int             `yaml:"failed_checks"` // by the ip_address of the check; 0 for no bound
	Blocks       []time.Duration `yaml:"blocks"`
}

// CountryRule watches for countries that an account never sent so much to.
type CountryRule struct {
	Mode   Mode            `yaml:"mode"`
	Starts int             `yaml:"starts"` // in 12 hours
	Sigma  int             `yaml:"sigma"`  // standard deviations above the mean
	Blocks []time.Duration `yaml:"blocks"`
}

// SpendRule tells of accounts that spend more than they used to.
type SpendRule struct {
	Mode  Mode `yaml:"mode"`
	Times int  `yaml:"times"` // the median of seven days
	Least int  `yaml:"least"` // in whole units of the currency
}

// FraudVoice limits calls.
type FraudVoice struct {
	Mode          Mode            `yaml:"mode"`           // of calls_per_hour
	Countries     []string        `yaml:"countries"`      // that may be called; none: all that routes allow
	CallsPerHour  int             `yaml:"calls_per_hour"` // to a prefix of 7 digits; 0 for no bound
	Blocks        []time.Duration `yaml:"blocks"`
	PrefixCalls   int             `yaml:"prefix_calls"`   // of a server at a time, over its trunks, to a prefix of 7 digits; 0 for no bound
	AllowPrefixes []string        `yaml:"allow_prefixes"` // first digits of expensive numbers that are reached all the same
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

// Shadow gives the same rules, none of which refuses anybody.
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
		c.p.addf(c.key+".blocks", "must be 1 to %d times", maxRuleBlocks)
	}
	for i, d := range list {
		if d == 0 && i < len(list)-1 {
			c.p.addf(index(c.key+".blocks", i), "must not be 0, which is until it is lifted: only the last may be")
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
		p.addf("fraud.rules.spend.mode", "must be off or shadow: what stops an account is its daily cap")
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
