package server

import (
	"countersign/internal/phone"
	"countersign/internal/verify"
)

// logRefusal logs a refused start with its reason and remedy. Users of a demonstration have
// no other source of the reason.
func (s *Server) logRefusal(account, number, status, reason string, e *verify.Error) {
	attrs := []any{"status", status, "reason", reason, "account", account, "number", phone.Mask(number), "remedy", remedy(e.Kind)}
	if e.Kind == verify.KindConcurrent {
		attrs = append(attrs, "request_id", e.Request.Hex())
	}
	s.log.Warn("start refused", attrs...)
}

// remedy returns the remedy for a refusal of a kind, in a demonstration.
func remedy(kind verify.Kind) string {
	switch kind {
	case verify.KindThrottled:
		return "make fewer requests per second, or start the demo with --unlimited"
	case verify.KindMissingParameter, verify.KindInvalidParameter:
		return "correct the parameter"
	case verify.KindBadCredentials:
		return "use an account and the secret that the demo prints at start"
	case verify.KindUnroutable, verify.KindUnsupportedNetwork:
		return "use another number: the demo has some with a fixed outcome"
	case verify.KindBlocked:
		return "the number is on the block list or at a cap: use another number, wait, run countersign number status and number unlock, or start the demo with --unlimited"
	case verify.KindBarred, verify.KindNoCredit, verify.KindCustomPINNotAllowed, verify.KindNotApproved:
		return "use the account " + DemoAccount
	case verify.KindConcurrent:
		return "check or cancel the verification in progress, wait for its end, or use another number"
	case verify.KindUnavailable:
		return "retry later: the server is stopping or overloaded"
	case verify.KindInternal, verify.KindNotFound, verify.KindWrongCode, verify.KindTooManyCodes, verify.KindTooManyIDs,
		verify.KindCancelTooEarly, verify.KindCancelTooLate, verify.KindNoMoreEvents:
	}
	return "see the log for the failure"
}
