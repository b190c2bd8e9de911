package server

import (
	"countersign/internal/config"
	"countersign/internal/fraud"
)

// Caps returns the per-number limits of a configuration.
func Caps(cfg config.Fraud) fraud.Caps {
	windows := func(caps []config.Cap) (list []fraud.Window) {
		for _, c := range caps {
			list = append(list, fraud.Window(c))
		}
		return list
	}
	return fraud.Caps{
		Sends: windows(cfg.Caps.Sends), AccountSends: windows(cfg.Caps.AccountSends),
		FailedChecks: windows(cfg.Caps.FailedChecks), AccountFailedChecks: windows(cfg.Caps.AccountFailedChecks),
		Streak: cfg.Caps.Streak, Lock: cfg.Caps.Lock, Remember: cfg.Remember,
	}
}
