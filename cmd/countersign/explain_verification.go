package main

import (
	"cmp"
	"strings"

	"countersign/internal/adminapi"
	"countersign/internal/verify"
)

func (r *report) verification(x adminapi.VerificationExplanation) {
	r.line("%s of account %s for %s (%s): %s", x.ID, x.Account, cmp.Or(x.Number, "a number that was removed"), cmp.Or(x.Country, "no country"), x.Status)
	r.line("Submitted %s, ended %s, price %s", isoTime(x.SubmittedAt), isoTime(x.FinalizedAt), x.Price)
	r.line("Steps:")
	for i, s := range x.Steps {
		to := ""
		if s.To != "" && s.To != x.Number {
			to = " to " + s.To
		}
		switch {
		case s.EventID != "":
			r.line("  %d. %s%s, taken %s", i+1, s.Channel, to, isoTime(s.At))
			r.event(x, s.EventID)
		case s.At != "":
			r.line("  %d. %s%s, due %s", i+1, s.Channel, to, isoTime(s.At))
		default:
			r.line("  %d. %s%s, not taken", i+1, s.Channel, to)
		}
	}
	r.line("Checks:")
	for _, c := range x.Checks {
		result := "wrong code"
		if c.Valid {
			result = "right code"
		}
		r.line("  %s %s, from %s", isoTime(c.ReceivedAt), result, cmp.Or(c.IPAddress, "an address that was not reported"))
	}
	if len(x.Checks) == 0 {
		r.line("  none")
	}
	r.line("Ledger:")
	for _, e := range x.Ledger {
		r.line("  %s %s %s of account %s", isoTime(e.At), e.Kind, e.Amount, e.Account)
	}
	if len(x.Ledger) == 0 {
		r.line("  no entries, or carried over")
	}
	r.line("Timeline:")
	for _, f := range x.Timeline {
		r.line("  %s %s", isoTime(f.At), strings.Join(timelineWords(f), " "))
	}
}

// timelineWords returns a fact and its details.
func timelineWords(f adminapi.TimelineEntry) []string {
	words := []string{strings.ReplaceAll(string(f.Fact), "_", " ")}
	if f.Fact == verify.CodeChecked {
		words = append(words, map[bool]string{true: "right", false: "wrong"}[f.Valid])
	}
	for _, detail := range []string{string(f.State), f.Carrier, string(f.Status), f.Amount, f.Cap} {
		if detail != "" {
			words = append(words, detail)
		}
	}
	return words
}

// event adds the outcome of an event: first the failures, then the accepted messages.
func (r *report) event(x adminapi.VerificationExplanation, id string) {
	for _, e := range x.Events {
		if e.ID != id {
			continue
		}
		r.line("     %s", strings.TrimSpace(string(e.State)+" "+e.Error))
		for _, f := range e.Failures {
			r.line("     attempt %d: carrier %s did not accept it: %s", f.Attempt, f.Carrier, cmp.Or(f.Text, f.Error))
		}
	}
	for _, m := range x.Messages {
		if m.EventID != id {
			continue
		}
		receipt := "no receipt"
		if m.ReceivedAt != "" {
			receipt = strings.TrimSpace(string(m.State)+" "+m.Error) + " by receipt of " + isoTime(m.ReceivedAt)
		}
		r.line("     attempt %d, part %d of %d: carrier %s, message id %s, %s", m.Attempt, m.Part, m.Parts, m.Carrier, m.MessageID, receipt)
	}
}
