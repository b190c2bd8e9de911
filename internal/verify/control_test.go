package verify_test

import (
	"crypto/rand"
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestWithdraw: a running verification is CANCELLED, an overdue one has EXPIRED at its
// planned end, and an earlier end stays.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	running := start(t, request(300, 125, 180, 300))
	second, _ := step(running, at(125))
	passed, _, err := check(running, running.PIN, "", at(10))
	if err != nil {
		t.Fatal(err)
	}
	ahead := start(t, request(300, 125, 180, 300))
	ahead.Events[0].StartedAt = at(7200)
	for _, tt := range []struct {
		name    string
		v       verify.Verification
		now     float64
		status  verify.Status
		endedAt float64
	}{
		{"at once", running, 0, verify.Cancelled, 0},
		{"before a cancel is allowed", running, 29, verify.Cancelled, 29},
		{"after the second event", second, 130, verify.Cancelled, 130},
		{"just before the end", second, 604.999, verify.Cancelled, 604.999},
		{"at the end", second, 605, verify.Expired, 605},
		{"overdue", second, 9999, verify.Expired, 605},
		{"overdue, no step taken since the start", running, 9999, verify.Expired, 605},
		{"from the future", ahead, 60, verify.Expired, 60},
		{"ended", passed, 60, verify.Success, 10},
		{"ended long ago", passed, 9999, verify.Success, 10},
	} {
		c := tt.v.Withdraw(at(tt.now))
		got := c.Verification
		if got.Status != tt.status || !got.FinalizedAt.Equal(at(tt.endedAt)) || !got.PIN.IsZero() || !got.NextAt.IsZero() {
			t.Errorf("%s: %s at %v, want %s at %v s", tt.name, got.Status, got.FinalizedAt.Sub(t0), tt.status, tt.endedAt)
		}
		if got.Lease != tt.v.Lease || len(c.Entries) > 0 || c.Send != nil {
			t.Errorf("%s: lease %+v, entries %+v, event %v", tt.name, got.Lease, c.Entries, c.Send)
		}
	}
}

// TestFromFuture: the tolerance itself is not yet the future.
func TestFromFuture(t *testing.T) {
	t.Parallel()
	v, e := begin(request(3600, 125, 180), 0)
	for lead, want := range map[time.Duration]bool{
		-time.Hour: false, 0: false, verify.FutureTolerance: false, verify.FutureTolerance + 1: true, 100 * 24 * time.Hour: true,
	} {
		now := t0.Add(-lead)
		if got := v.FromFuture(now); got != want || verify.FromFuture(t0, now) != want {
			t.Errorf("%v ahead is from the future: %v", lead, got)
		}
		if lead < 0 {
			continue // ended long ago
		}
		if got := v.At(now); (got.Status == verify.Expired) != want || want && !got.FinalizedAt.Equal(now) {
			t.Errorf("%v ahead: %s at %v", lead, got.Status, got.FinalizedAt)
		}
		if got := v.Sendable(e, now); got == want {
			t.Errorf("%v ahead: sendable %v", lead, got)
		}
		if _, _, err := trigger(v, now); (kind(err) == verify.KindNotFound) != want {
			t.Errorf("%v ahead: Trigger: %v", lead, err)
		}
	}
}

// TestRefuse: a cap forbids the comparison. The code ends the verification, even the right
// one; the check is recorded.
func TestRefuse(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125))
	pin := v.PIN
	refuse := func(v verify.Verification, ipAddress string, now time.Time) (verify.Verification, verify.Check, error) {
		c, err := v.Check(pin, ipAddress, history{noCheck: full("wrong codes", 60)}, now)
		if c.History != nil {
			t.Errorf("the refused check changes the history: %+v", c.History)
		}
		return checked(v, c, err)
	}
	got, check, err := refuse(v, "192.0.2.1", at(7))
	want := verify.Check{Generation: 1, Code: pin, IPAddress: "192.0.2.1", ReceivedAt: at(7)}
	if kind(err) != verify.KindTooManyCodes || check != want || got.Status != verify.Failed || !got.FinalizedAt.Equal(at(7)) || !got.PIN.IsZero() {
		t.Errorf("got %s, %+v, %v", got.Status, check, err)
	}
	if again, check, err := refuse(got, "", at(8)); kind(err) != verify.KindNotFound || check != (verify.Check{}) || again.Status != verify.Failed || !again.FinalizedAt.Equal(at(7)) {
		t.Errorf("a second time: %s, %+v, %v", again.Status, check, err)
	}
	if late, _, err := refuse(v, "", at(300)); kind(err) != verify.KindNotFound || late.Status != verify.InProgress {
		t.Errorf("after the end: %s, %v", late.Status, err)
	}
}

// TestExhaust: the wrong code that fills a cap ends the verification with its first try. A
// right code fills none.
func TestExhaust(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125))
	filling := history{filled: full("wrong codes", 60)}
	c, err := v.Check(wrong(v), "", filling, at(9))
	got, check, err := checked(v, c, err)
	if kind(err) != verify.KindTooManyCodes || check.Valid || got.Status != verify.Failed || !got.FinalizedAt.Equal(at(9)) || !got.PIN.IsZero() || got.Tries != 1 {
		t.Errorf("%s after %d tries, %+v, %v", got.Status, got.Tries, check, err)
	}
	if c.History.(history).calls != "checked false 9s;" {
		t.Errorf("the history is %+v", c.History)
	}
	if c, err := v.Check(v.PIN, "", filling, at(9)); err != nil || c.Answer != nil || c.Verification.Status != verify.Success || c.History.(history).calls != "checked true 9s;" {
		t.Errorf("the right code: %s, %v, %v, history %+v", c.Verification.Status, err, c.Answer, c.History)
	}
}

// TestStepCapped: the step is taken, its event is refused, and the PIN stays unchanged.
func TestStepCapped(t *testing.T) {
	t.Parallel()
	v := after(start(t, request(120, 120, 120)), 0, verify.EventAccepted, onFailure, at(1))
	if !v.StepsLeft() {
		t.Fatal("no step is left after the first of two")
	}
	pin := v.PIN
	c := v.Step(runner(), history{noSend: full("messages", 600)}, at(120), rand.Reader)
	capped, e := c.Verification, c.Verification.Events[1]
	if e.State != verify.EventRefused || e.Error != verify.CappedEvent || e.Seq != 1 || e.Generation != 1 || !e.NeverLeft() || !e.StartedAt.Equal(at(120)) {
		t.Errorf("the event is %+v", e)
	}
	if c.Send != nil || c.History != nil || !c.Stepped || capped.Lease.Node != "" {
		t.Errorf("the change is %+v", c)
	}
	if !capped.PIN.Equal(pin) || capped.Generation != 1 || !capped.PINExpiresAt.Equal(v.PINExpiresAt) || len(capped.Events) != 2 || capped.StepsLeft() || capped.LastEventID() != e.ID {
		t.Errorf("the verification is %+v", capped)
	}
	if !capped.FirstEventAt().Equal(t0) || !capped.LastEventAt().Equal(at(120)) || !capped.NextAt.Equal(at(240)) {
		t.Errorf("first event at %v, last at %v, due at %v", capped.FirstEventAt(), capped.LastEventAt(), capped.NextAt)
	}
	if ended, none := step(capped, at(240)); none != nil || ended.Status != verify.Expired {
		t.Errorf("after the last step: %+v, %s", none, ended.Status)
	}
}

// TestHastenAnswered: the states that count as failed are a setting: an answered call may
// count as failed.
func TestHastenAnswered(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180))
	withAnswered := verify.OnFailure{NextStep: true, Failed: func(s verify.EventState) bool { return failed(s) || s == verify.EventAnswered }}
	for _, state := range eventStates() {
		for _, f := range []verify.OnFailure{hasten, withAnswered, {NextStep: true}, {Failed: failed}} {
			want := at(125)
			if f.NextStep && f.Failed != nil && f.Failed(state) {
				want = at(9)
			}
			got := after(v, 0, state, f, at(9))
			if !got.NextAt.Equal(want) {
				t.Errorf("%s: due at %v, want %v", state, got.NextAt.Sub(t0), want.Sub(t0))
			}
			if got := after(v, 0, state, f, at(125)); !got.NextAt.Equal(at(125)) {
				t.Errorf("%s: a step that is due was changed to %v", state, got.NextAt.Sub(t0))
			}
		}
	}
}
