package fraud

import "time"

// DefaultCaps are the caps where an operator sets none. The sends are those of the
// strictest of the large platforms, the failed checks keep a guesser of codes of
// four digits below one in six hundred a day (docs/explanation/security.md).
func DefaultCaps() Caps {
	return Caps{
		Sends:               defaultSends(),
		AccountSends:        defaultSends(),
		FailedChecks:        []Window{{30, 24 * time.Hour}},
		AccountFailedChecks: []Window{{15, 24 * time.Hour}},
		Streak:              100,
		Lock:                24 * time.Hour,
		Remember:            90 * 24 * time.Hour,
	}
}

func defaultSends() []Window {
	return []Window{{5, 10 * time.Minute}, {10, time.Hour}, {20, 24 * time.Hour}}
}
