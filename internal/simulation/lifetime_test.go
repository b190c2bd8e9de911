package simulation

import (
	"fmt"
	"time"

	"countersign/internal/verify"
)

// judgeLifetimes checks two promises. An event has a new PIN if and only if the previous PIN
// has less than a minute left. A message states the lifetime left at its submission.
func judgeLifetimes(e evidence, byID map[verify.ID]verify.Verification) (broken []string) {
	complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	type pin struct {
		request    verify.ID
		generation int
	}
	expiry := map[pin]time.Time{}
	for _, r := range e.records {
		for i, event := range r.Events {
			p := pin{r.ID, event.Generation}
			expires, kept := expiry[p]
			if !kept {
				expiry[p] = event.StartedAt.Add(r.Workflow.PINLife)
			}
			switch before := expiry[pin{r.ID, event.Generation - 1}]; {
			case event.Error == verify.CappedEvent:
				if !kept {
					complain("%s: event %d is capped but has a new PIN", r.ID, i)
				}
			case r.Workflow.PINPolicy == verify.RenewPIN:
				if kept {
					complain("%s: event %d reuses the PIN of another event", r.ID, i)
				}
			case kept && expires.Sub(event.StartedAt) < time.Minute:
				complain("%s: event %d has a PIN with %v left", r.ID, i, expires.Sub(event.StartedAt))
			case !kept && before.Sub(event.StartedAt) >= time.Minute:
				complain("%s: event %d has a new PIN, %v before the end of the last", r.ID, i, before.Sub(event.StartedAt))
			}
		}
	}
	for _, s := range e.phones {
		r := byID[s.request]
		if s.seq >= len(r.Events) {
			continue // judgePhones reports it
		}
		event := r.Events[s.seq]
		from := event.StartedAt
		if s.handed.Sub(from) > 2*time.Second {
			from = s.handed
		}
		left := expiry[pin{r.ID, event.Generation}].Sub(from)
		if want := max(1, int(left/time.Minute)); s.minutes != want {
			complain("%s: event %d, attempt %d, states %d minutes with %v left", r.ID, s.seq, s.attempt, s.minutes, left)
		}
	}
	return broken
}
