package verify_test

import (
	"crypto/rand"
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestDue: a lease covers the other reasons until it ends.
func TestDue(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	quick := start(t, request(300, 4, 180))
	sent := after(v, 0, verify.EventAccepted, onFailure, at(1))
	last, _ := step(sent, at(125))
	lastSent := after(last, 1, verify.EventAccepted, onFailure, at(126))
	refused := after(v, 0, verify.EventRefused, onFailure, at(1))
	over := refused.Withdraw(at(2)).Verification
	for _, tt := range []struct {
		name string
		v    verify.Verification
		at   float64
		want verify.Reason
	}{
		{"begun", v, 10, verify.LeaseEnded},
		{"begun, with an early next step", quick, 4, verify.LeaseEnded},
		{"sent", sent, 125, verify.StepDue},
		{"failed", after(v, 0, verify.EventRefused, hasten, at(1)), 1, verify.StepDue},
		{"last event taken", last, 135, verify.LeaseEnded},
		{"last event sent", lastSent, 305, verify.ExpiryDue},
		{"ended under a lease", v.Withdraw(at(2)).Verification, 10, verify.LeaseEnded},
		{"handed off", did(v.HandOff(v.Lease.Token, at(3))).Verification, 3, verify.LeaseEnded},
		{"ended, and an event never left", over, 2, verify.RefundCheck},
		{"leased for the refund", over.LeaseForRefund(node, at(5)).Verification, 15, verify.LeaseEnded},
		{"refunded", over.Refund(at(5)).Verification, 0, verify.NotDue},
		{"ended", sent.Withdraw(at(2)).Verification, 0, verify.NotDue},
		{"right code", must(refused.Check(refused.PIN, "", verify.Uncapped{}, at(2))).Verification, 2, verify.RefundCheck},
	} {
		got, why := tt.v.Due()
		if why != tt.want || why == verify.NotDue && !got.IsZero() || why != verify.NotDue && !got.Equal(at(tt.at)) {
			t.Errorf("%s: due at %v for %q, want %v s for %q", tt.name, got.Sub(t0), why, tt.at, tt.want)
		}
	}
}

// TestStepDue: also the end is a step; a verification from the future is due.
func TestStepDue(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	last, _ := step(v, at(125))
	for _, tt := range []struct {
		name string
		v    verify.Verification
		now  float64
		want bool
	}{
		{"before", v, 124.999, false},
		{"at its time", v, 125, true},
		{"before the end", last, 304.999, false},
		{"the end", last, 305, true},
		{"from the future", v, -301, true},
		{"a little ahead", v, -299, false},
		{"over", v.Withdraw(at(3)).Verification, 125, false},
	} {
		if got := tt.v.StepDue(at(tt.now)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestLease: which rules acquire, extend, keep and release the lease.
func TestLease(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180, 300)) // node-a, token 1, until 10 s
	sent := after(v, 0, verify.EventAccepted, onFailure, at(1))
	id := v.Events[0].ID
	over := after(v, 0, verify.EventRefused, onFailure, at(1)).Withdraw(at(2)).Verification
	other := v
	other.Lease.Node = "node-b"
	near := v // the next step is near
	near.NextAt = at(14)
	lease := func(name string, until float64, token int64) verify.Lease {
		l := verify.Lease{Node: name, Token: token}
		if name != "" {
			l.Until = at(until)
		}
		return l
	}
	for _, tt := range []struct {
		name   string
		change verify.Change
		want   verify.Lease
	}{
		{"begin acquires", mustBegin(beginning(request(300, 125), 0)), lease(node, 10, 1)},
		{"begin acquires until the next step", mustBegin(beginning(request(300, 4, 9), 0)), lease(node, 4, 1)},
		{"outcome releases", v.Outcome(outcome(v, 0, verify.EventAccepted), onFailure, at(1)), lease("", 0, 1)},
		{"hastening outcome releases", v.Outcome(outcome(v, 0, verify.EventRefused), hasten, at(1)), lease("", 0, 2)},
		{"step acquires", sent.Step(runner(), verify.Uncapped{}, at(125), rand.Reader), lease(node, 135, 2)},
		{"capped step releases", sent.Step(runner(), history{noSend: full("messages", 600)}, at(125), rand.Reader), lease("", 0, 2)},
		{"trigger acquires from another node", must(other.Trigger(node, verify.Uncapped{}, at(5), rand.Reader)), lease(node, 15, 2)},
		{"check keeps", must(v.Check(wrong(v), "", verify.Uncapped{}, at(5))), lease(node, 10, 1)},
		{"right code keeps", must(v.Check(v.PIN, "", verify.Uncapped{}, at(5))), lease(node, 10, 1)},
		{"cancel keeps", must(v.Cancel(at(30))), lease(node, 10, 1)},
		{"hand-off ends", did(v.HandOff(1, at(5))), lease(node, 5, 1)},
		{"hand-off after the end", did(v.HandOff(1, at(12))), lease(node, 10, 1)},
		{"recover extends for an event in flight", v.Recover(runner(id), verify.Uncapped{}, at(10), rand.Reader), lease(node, 20, 1)},
		{"recover extends until the next step", near.Recover(runner(id), verify.Uncapped{}, at(10), rand.Reader), lease(node, 14, 1)},
		{"recover extends after the end", v.Withdraw(at(2)).Verification.Recover(runner(id), verify.Uncapped{}, at(10), rand.Reader), lease(node, 20, 1)},
		{"recover acquires for an event in flight", other.Recover(runner(id), verify.Uncapped{}, at(10), rand.Reader), lease(node, 20, 2)},
		{"recover acquires for a resend", v.Recover(runner(), verify.Uncapped{}, at(10), rand.Reader), lease(node, 20, 2)},
		{"recover releases", sent.Recover(runner(), verify.Uncapped{}, at(10), rand.Reader), lease("", 0, 2)},
		{"recover releases after the end", v.Withdraw(at(2)).Verification.Recover(runner(), verify.Uncapped{}, at(10), rand.Reader), lease("", 0, 2)},
		{"the end releases", sent.Step(runner(), verify.Uncapped{}, at(605), rand.Reader), lease("", 0, 2)},
		{"a refund acquires", over.LeaseForRefund(node, at(5)), lease(node, 15, 2)},
		{"a refund releases", over.LeaseForRefund(node, at(5)).Verification.Refund(at(6)), lease("", 0, 3)},
	} {
		if got := tt.change.Verification.Lease; got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if _, ok := v.HandOff(2, at(5)); ok {
		t.Error("a stale token handed off")
	}
	if _, ok := sent.HandOff(1, at(5)); ok {
		t.Error("handed off without a lease")
	}
}

// TestFencing: a node with a stale token does not release the lease. Parts and costs of its
// outcome count.
func TestFencing(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180, 300))
	o := accepted(v, 0, 7, "r0")
	resent := v.Recover(verify.Runner{Node: "node-b", InFlight: runner().InFlight}, verify.Uncapped{}, at(10), rand.Reader).Verification
	lease := verify.Lease{Node: "node-b", Until: at(20), Token: 2}
	if resent.Lease != lease || resent.Events[0].Attempt != 2 {
		t.Fatalf("recovered: %+v, %+v", resent.Lease, resent.Events)
	}
	// A stale attempt changes no state; its parts and cost count.
	o.State = verify.EventRefused
	stale := resent.Outcome(o, hasten, at(11)).Verification
	e := stale.Events[0]
	if e.State != verify.EventSubmitting || e.Error != "" || e.Carrier != "" || e.Attempt != 2 || stale.Lease != lease || !stale.NextAt.Equal(at(125)) {
		t.Errorf("after the stale outcome: %+v, lease %+v", e, stale.Lease)
	}
	if len(e.Parts) != 1 || e.Parts[0].Ref != "r0" || e.Parts[0].Attempt != 1 || e.Cost() != 7 || stale.Unsent {
		t.Errorf("parts and cost of the stale outcome: %+v", e)
	}
	// The outcome of the second attempt comes under the second lease.
	final := stale.Outcome(accepted(stale, 0, 9, "s0"), onFailure, at(12)).Verification
	if e := final.Events[0]; e.State != verify.EventAccepted || e.Cost() != 16 || len(e.Parts) != 2 || final.Lease != (verify.Lease{Token: 2}) {
		t.Errorf("after the last outcome: %+v, lease %+v", e, final.Lease)
	}
	// A stale outcome does not change a known one.
	if e := final.Outcome(o, hasten, at(13)).Verification.Events[0]; e.State != verify.EventAccepted || e.Cost() != 16 {
		t.Errorf("after a further stale outcome: %+v", e)
	}
}

// TestOvertaken: while the node submits an event, the application triggers the next one at
// another node. Neither outcome releases the lease before the other event has its own.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180, 300))
	firstOutcome := accepted(v, 0, 0, "r0")
	v = must(v.Trigger("node-b", verify.Uncapped{}, at(5), rand.Reader)).Verification
	lease := v.Lease
	if got := v.Outcome(firstOutcome, onFailure, at(6)).Verification; got.Lease != lease || got.Events[0].State != verify.EventAccepted {
		t.Errorf("the stale token released: %+v", got.Lease)
	}
	if got := v.Outcome(accepted(v, 1, 0, "r1"), onFailure, at(6)).Verification; got.Lease != lease {
		t.Errorf("with an open event: %+v", got.Lease)
	}
	refused := v.Outcome(outcome(v, 1, verify.EventRefused), hasten, at(6)).Verification
	if refused.Lease != lease || !refused.NextAt.Equal(at(6)) {
		t.Errorf("a failure with an open event: %+v, next step at %v", refused.Lease, refused.NextAt.Sub(t0))
	}
}

// TestRecover: the newest open event is resent while Resend allows it; others are unknown. Events that the node is still submitting stay open.
func TestRecover(t *testing.T) {
	t.Parallel()
	one := start(t, request(300, 125, 180, 300))
	two, _, _ := trigger(one, at(5)) // both open
	again := did(one.Retry(0, verify.Failures{{Carrier: "a", Error: "x"}}, at(2))).Verification
	parted := one.Outcome(accepted(one, 0, 0, "r0"), onFailure, at(1)).Verification
	parted.Events[0].State, parted.Events[0].Attempt = verify.EventSubmitting, 2
	parted = did(first(parted.Receipt(receipt("r0", verify.EventUndeliverable), onFailure, at(3)))).Verification
	const open, unknown, undeliverable = verify.EventSubmitting, verify.EventUnknown, verify.EventUndeliverable
	for _, tt := range []struct {
		name     string
		v        verify.Verification
		flying   []int // places of events in flight
		f        verify.OnFailure
		now      float64
		states   []verify.EventState
		attempts []int
		send     int // place of the event to send; -1 if there is no such event
		stepped  bool
	}{
		{"resent", one, nil, onFailure, 10, []verify.EventState{open}, []int{2}, 0, false},
		{"in flight", one, []int{0}, onFailure, 10, []verify.EventState{open}, []int{1}, -1, false},
		{"attempted twice", again, nil, onFailure, 10, []verify.EventState{unknown}, []int{2}, -1, false},
		{"over", one.Withdraw(at(3)).Verification, nil, onFailure, 10, []verify.EventState{unknown}, []int{1}, -1, false},
		{"two open", two, nil, onFailure, 15, []verify.EventState{unknown, open}, []int{1, 2}, 1, false},
		{"two open, the newest in flight", two, []int{1}, onFailure, 15, []verify.EventState{unknown, open}, []int{1, 1}, -1, false},
		{"two open, the older in flight", two, []int{0}, onFailure, 15, []verify.EventState{open, open}, []int{1, 2}, 1, false},
		{"step due", one, nil, onFailure, 125, []verify.EventState{unknown, open}, []int{1, 1}, 1, true},
		{"step due, in flight", one, []int{0}, onFailure, 125, []verify.EventState{open, open}, []int{1, 1}, 1, true},
		{"end due", one, nil, onFailure, 605, []verify.EventState{unknown}, []int{1}, -1, true},
		{"failed by its receipt", parted, nil, onFailure, 10, []verify.EventState{undeliverable}, []int{2}, -1, false},
		{"failed by its receipt, next step at once", parted, nil, hasten, 10, []verify.EventState{undeliverable, open}, []int{2, 1}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var flying []verify.ID
			for _, seq := range tt.flying {
				flying = append(flying, tt.v.Events[seq].ID)
			}
			r := runner(flying...)
			r.OnFailure = tt.f
			c := tt.v.Recover(r, history{}, at(tt.now), rand.Reader)
			got := c.Verification
			for seq, e := range got.Events {
				if seq >= len(tt.states) || e.State != tt.states[seq] || e.Attempt != tt.attempts[seq] {
					t.Errorf("event %d: %s, attempt %d; want %v, %v", seq, e.State, e.Attempt, tt.states, tt.attempts)
				}
			}
			if len(got.Events) != len(tt.states) || c.Stepped != tt.stepped {
				t.Errorf("%d events, stepped %v", len(got.Events), c.Stepped)
			}
			if send := c.Send; (send != nil) != (tt.send >= 0) || send != nil && (send.Seq != tt.send || send.ID != got.Events[tt.send].ID || send.Attempt != got.Events[tt.send].Attempt) {
				t.Errorf("to send: %+v, want event %d", send, tt.send)
			}
			if resent := c.Send != nil && !c.Stepped; resent && (got.Generation != tt.v.Generation || c.History != nil) {
				t.Error("a resend counts as a new message")
			}
			if (c.Send != nil || len(flying) > 0) != (got.Lease.Node == node) {
				t.Errorf("the lease is %+v", got.Lease)
			}
			agree(t, c)
		})
	}
}

// TestRetry: a second attempt is counted with the failures of the first, once.
func TestRetry(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125))
	failures := verify.Failures{{Carrier: "a", Error: "x", Attempt: 1}}
	c := did(v.Retry(0, failures, at(2)))
	if e := c.Verification.Events[0]; e.Attempt != 2 || len(e.Failures) != 1 || e.State != verify.EventSubmitting || c.Send != nil || c.Verification.Lease != v.Lease {
		t.Errorf("after the retry: %+v", c)
	}
	for name, ok := range map[string]bool{
		"a third attempt": second(c.Verification.Retry(0, failures, at(3))),
		"after the PIN":   second(v.Retry(0, failures, at(300))),
		"of no event":     second(v.Retry(1, failures, at(3))),
		"of another":      second(v.Retry(-1, failures, at(3))),
	} {
		if ok {
			t.Errorf("%s is allowed", name)
		}
	}
}

func second(_ verify.Change, ok bool) bool { return ok }

// TestStepNotDue: only the lease changes.
func TestStepNotDue(t *testing.T) {
	t.Parallel()
	v := after(start(t, request(300, 125)), 0, verify.EventAccepted, onFailure, at(1))
	c := v.Step(runner(), history{}, at(124), rand.Reader)
	if got := c.Verification; c.Stepped || c.Send != nil || c.History != nil || len(got.Events) != 1 || got.Status != verify.InProgress || !got.NextAt.Equal(v.NextAt) {
		t.Errorf("got %+v", c)
	}
}

// TestStepLate: the lateness of a step, and the time at which caps apply.
func TestStepLate(t *testing.T) {
	t.Parallel()
	v := after(start(t, request(300, 125, 180)), 0, verify.EventAccepted, onFailure, at(1))
	for late, calls := range map[time.Duration]string{0: "sent 2m5s;", 400 * time.Millisecond: "sent 2m5s;", 2 * time.Second: "sent 2m7s;"} {
		c := v.Step(runner(), history{}, v.NextAt.Add(late), rand.Reader)
		if !c.Stepped || c.Late != late || c.History.(history).calls != calls {
			t.Errorf("%v late: %v, history %v, want %s", late, c.Late, c.History, calls)
		}
	}
}
