package config

import "time"

// Fraud configures the protection against SMS pumping, toll fraud and code guessing.
type Fraud struct {
	Caps     Caps          `yaml:"caps"`
	Rules    FraudRules    `yaml:"rules"`
	Voice    FraudVoice    `yaml:"voice"`
	Remember time.Duration `yaml:"remember"` // how long a verified number, and an inactive streak, is remembered
}

// Caps are the limits on one number, across verifications. An empty list means no limit.
type Caps struct {
	Sends               []Cap         `yaml:"sends"`                 // messages to a number from all accounts
	AccountSends        []Cap         `yaml:"account_sends"`         // messages to a number per account
	FailedChecks        []Cap         `yaml:"failed_checks"`         // wrong codes for a number from all accounts
	AccountFailedChecks []Cap         `yaml:"account_failed_checks"` // wrong codes for a number per account
	Streak              int           `yaml:"streak"`                // consecutive wrong codes that lock a number for an account; 0 for no lock
	Lock                time.Duration `yaml:"lock"`                  // duration of the lock
}

// Cap is a maximum count in a sliding window.
type Cap struct {
	Count  int           `yaml:"count"`
	Within time.Duration `yaml:"within"`
}

func defaultFraud() Fraud {
	const day = 24 * time.Hour
	sends := func() []Cap { return []Cap{{5, 10 * time.Minute}, {10, time.Hour}, {20, day}} }
	return Fraud{
		Caps: Caps{
			Sends: sends(), AccountSends: sends(),
			FailedChecks: []Cap{{30, day}}, AccountFailedChecks: []Cap{{15, day}},
			Streak: 100, Lock: day,
		},
		Rules:    defaultFraudRules(),
		Voice:    defaultFraudVoice(),
		Remember: 90 * day,
	}
}

const (
	// maxCapCount bounds the history of a number, which is read and written with each
	// message.
	maxCapCount = 1000
)

func (f Fraud) validate(p *problems) {
	longest := time.Second
	for _, list := range []struct {
		name string
		caps []Cap
	}{
		{"sends", f.Caps.Sends}, {"account_sends", f.Caps.AccountSends},
		{"failed_checks", f.Caps.FailedChecks}, {"account_failed_checks", f.Caps.AccountFailedChecks},
	} {
		for _, c := range list.caps {
			longest = max(longest, c.Within)
		}
	}
	f.Rules.validate(p)
	f.Voice.validate(p)
	if f.Remember < max(longest, f.Caps.Lock) {
		p.addf("fraud.remember", "must not be less than fraud.caps.lock and every time under fraud.caps")
	}
}
