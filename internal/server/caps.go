package server

import (
	"context"

	"countersign/internal/config"
	"countersign/internal/fraud"
)

// Caps are the limits on one number that a configuration asks for.
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

// verifiedBefore reports whether a number was proven to an account not too long ago.
func (s *Server) verifiedBefore(ctx context.Context, account, number string) (bool, error) {
	n, err := s.db.Guard(ctx, number)
	return Caps(s.opts.Config.Fraud).VerifiedBefore(n, account, s.opts.Clock.Now()), err
}
