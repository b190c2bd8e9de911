package simulation

import (
	"fmt"
	"reflect"
	"slices"

	"countersign/internal/verify"
)

// judgeFacts: the facts of each verification agree with its state, its counts and the
// ledger.
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
					complain("ended %s by a fact, and is %s", f.Status, r.Status)
				}
			case verify.Started, verify.PINRenewed, verify.Capped:
			}
		}
		for _, c := range r.Checks {
			checks = append(checks, c.Valid)
		}
		if len(r.Facts) == 0 || r.Facts[0].Kind != verify.Started || counts[verify.Started] != 1 {
			complain("started %d times by facts", counts[verify.Started])
		}
		if n := counts[verify.Finished]; n > 1 || (n == 1) != r.Ended() {
			complain("ended %d times by facts, and is %s", n, r.Status)
		}
		if charged != r.Charged() || counts[verify.Charged] != e.charges[r.ID] || counts[verify.Refunded] != e.refunds[r.ID] {
			complain("facts charge %s (%d times, %d refunds), it is charged %s", charged, counts[verify.Charged], counts[verify.Refunded], r.Charged())
		}
		if !slices.Equal(verdicts, checks) {
			complain("checks by facts %v, by its list %v", verdicts, checks)
		}
		if counts[verify.PINRenewed] != r.Generation-1 {
			complain("%d renewals of its PIN by facts, %d PINs", counts[verify.PINRenewed], r.Generation)
		}
		for seq, event := range r.Events {
			if state, known := states[seq]; !known || state != event.State {
				complain("event %d is %q by facts, and %q", seq, state, event.State)
			}
			if resends[seq] != event.Attempt-1 {
				complain("event %d was sent again %d times by facts, and has attempt %d", seq, resends[seq], event.Attempt)
			}
		}
	}
	return broken
}

// judgeValues: a rule returned the value that the database has. A process that crashed
// reports nothing of its last commit.
func judgeValues(e evidence) (broken []string) {
	if e.crashes > 0 {
		return nil
	}
	for _, r := range e.records {
		erased := r.To.Given == ""
		if !erased && !slices.ContainsFunc(e.values[r.ID], func(v verify.Verification) bool { return reflect.DeepEqual(v, r) }) {
			broken = append(broken, fmt.Sprintf("%s for %s: read back as %+v, which no rule returned", r.ID, r.To.Given, r))
		}
	}
	return broken
}
