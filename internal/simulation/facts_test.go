package simulation

import (
	"fmt"
	"reflect"
	"slices"

	"countersign/internal/verify"
)

// judgeFacts checks that the facts of each verification agree with its state, its counts and
// the ledger.
func judgeFacts(e evidence) (broken []string) {
	for _, r := range e.records {
		complain := func(format string, args ...any) {
			broken = append(broken, fmt.Sprintf("%s for %s: ", r.ID, r.To.Given)+fmt.Sprintf(format, args...))
		}
		counts := map[verify.FactKind]int{}
		var charged verify.Money
		var verdicts, checks []bool
		states, resends := map[int]verify.EventState{}, map[int]int{}
		for _, f := range r.Facts {
			counts[f.Kind]++
			switch f.Kind {
			case verify.Charged:
				charged += f.Amount
			case verify.Refunded:
				charged -= f.Amount
			case verify.CodeChecked:
				verdicts = append(verdicts, f.Valid)
			case verify.EventSent, verify.EventReported:
				states[f.Event] = f.State
			case verify.EventResent:
				resends[f.Event]++
			case verify.Finished:
				if f.Status != r.Status {
					complain("facts end it as %s, the record has %s", f.Status, r.Status)
				}
			case verify.Started, verify.PINRenewed, verify.Capped:
			}
		}
		for _, c := range r.Checks {
			checks = append(checks, c.Valid)
		}
		if len(r.Facts) == 0 || r.Facts[0].Kind != verify.Started || counts[verify.Started] != 1 {
			complain("facts start it %d times, want once as the first fact", counts[verify.Started])
		}
		if n := counts[verify.Finished]; n > 1 || (n == 1) != r.Ended() {
			complain("facts end it %d times, the record has %s", n, r.Status)
		}
		if charged != r.Charged() || counts[verify.Charged] != e.charges[r.ID] || counts[verify.Refunded] != e.refunds[r.ID] {
			complain("facts charge %s (%d times, %d refunds), the record charges %s", charged, counts[verify.Charged], counts[verify.Refunded], r.Charged())
		}
		if !slices.Equal(verdicts, checks) {
			complain("facts have checks %v, the record has %v", verdicts, checks)
		}
		if counts[verify.PINRenewed] != r.Generation-1 {
			complain("facts renew its PIN %d times, the record has %d PINs", counts[verify.PINRenewed], r.Generation)
		}
		for seq, event := range r.Events {
			if state, known := states[seq]; !known || state != event.State {
				complain("event %d is %q in the facts, and %q in the record", seq, state, event.State)
			}
			if resends[seq] != event.Attempt-1 {
				complain("facts resend event %d %d times, the record has attempt %d", seq, resends[seq], event.Attempt)
			}
		}
	}
	return broken
}

// judgeValues checks that a rule returned the value of each record. It is skipped after a crash:
// a crashed process does not report its last commit.
func judgeValues(e evidence) (broken []string) {
	if e.crashes > 0 {
		return nil
	}
	for _, r := range e.records {
		erased := r.To.Given == ""
		if !erased && !slices.ContainsFunc(e.values[r.ID], func(v verify.Verification) bool { return reflect.DeepEqual(v, r) }) {
			broken = append(broken, fmt.Sprintf("%s for %s: no rule returned the record %+v", r.ID, r.To.Given, r))
		}
	}
	return broken
}
