package config

import "time"

// Fraud limits what those can do who make others pay for messages, or guess codes.
type Fraud struct {
	Caps     Caps          `yaml:"caps"`
	Rules    FraudRules    `yaml:"rules"`
	Voice    FraudVoice    `yaml:"voice"`
	Remember time.Duration `yaml:"remember"` // how long a number that was verified is known as such, and a streak that does not go on
}

// Caps are the limits on one number, across verifications. A list that is empty is
// no limit.
type Caps struct {
	Sends               []Cap         `yaml:"sends"`                 // messages to a number, of all accounts together
	AccountSends        []Cap         `yaml:"account_sends"`         // of each account by itself
	FailedChecks        []Cap         `yaml:"failed_checks"`         // wrong codes for a number, of all accounts together
	AccountFailedChecks []Cap         `yaml:"account_failed_checks"` // of each account by itself
	Streak              int           `yaml:"streak"`                // wrong codes in a row, without a success, that lock a number for an account; 0 for never
	Lock                time.Duration `yaml:"lock"`                  // for how long
}

// Cap is the most that may happen in a time that slides.
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
	// maxCapCount bounds what is kept of a number: all of it is read and written
	// with each message.
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
