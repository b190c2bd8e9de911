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
	second, _ := running.Step(at(125), rand.Reader)
	passed, _, err := running.Check(running.PIN, "", at(10))
	if err != nil {
		t.Fatal(err)
	}
	ahead := start(t, request(300, 125, 180, 300))
	ahead.LastEventAt = at(7200)
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
		got := tt.v.Withdraw(at(tt.now))
		if got.Status != tt.status || !got.FinalizedAt.Equal(at(tt.endedAt)) || !got.PIN.IsZero() || !got.DueAt.IsZero() {
			t.Errorf("%s: %s at %v, want %s at %v s", tt.name, got.Status, got.FinalizedAt.Sub(t0), tt.status, tt.endedAt)
		}
	}
}

// TestFromFuture: the tolerance itself is not yet the future.
func TestFromFuture(t *testing.T) {
	t.Parallel()
	v, e := verify.Start(request(3600, 125, 180), 0, t0, rand.Reader)
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
		if _, _, err := v.Trigger(now, rand.Reader); (kind(err) == verify.KindNotFound) != want {
			t.Errorf("%v ahead: Trigger: %v", lead, err)
		}
	}
}

// TestRefuse: a code that is not compared ends the verification, even the right one.
func TestRefuse(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125))
	pin := v.PIN
	got, check, err := v.Refuse(pin, "192.0.2.1", at(7))
	want := verify.Check{Verification: v.ID, Generation: 1, Code: pin, IPAddress: "192.0.2.1", ReceivedAt: at(7)}
	if kind(err) != verify.KindTooManyCodes || check != want || got.Status != verify.Failed || !got.FinalizedAt.Equal(at(7)) || !got.PIN.IsZero() {
		t.Errorf("got %s, %+v, %v", got.Status, check, err)
	}
	if again, check, err := got.Refuse(pin, "", at(8)); kind(err) != verify.KindNotFound || check != (verify.Check{}) || again.Status != verify.Failed || !again.FinalizedAt.Equal(at(7)) {
		t.Errorf("a second time: %s, %+v, %v", again.Status, check, err)
	}
	if late, _, err := v.Refuse(pin, "", at(300)); kind(err) != verify.KindNotFound || late.Status != verify.InProgress {
		t.Errorf("after the end: %s, %v", late.Status, err)
	}
	if got, err := v.Exhaust(at(9)); kind(err) != verify.KindTooManyCodes || got.Status != verify.Failed || !got.FinalizedAt.Equal(at(9)) || !got.PIN.IsZero() {
		t.Errorf("Exhaust: %s, %v", got.Status, err)
	}
}

// TestStepCapped: the step is taken, its event is refused, and the PIN stays unchanged.
func TestStepCapped(t *testing.T) {
	t.Parallel()
	v := start(t, request(120, 120, 120))
	if !v.StepsLeft() {
		t.Fatal("no step is left after the first of two")
	}
	pin := v.PIN
	capped, e := v.StepCapped(at(120), rand.Reader)
	if e.State != verify.EventRefused || e.Error != verify.CappedEvent || e.Seq != 1 || e.Generation != 1 || !e.NeverLeft() || !e.StartedAt.Equal(at(120)) {
		t.Errorf("the event is %+v", e)
	}
	if !capped.PIN.Equal(pin) || capped.Generation != 1 || !capped.PINExpiresAt.Equal(v.PINExpiresAt) || capped.Events != 2 || capped.StepsLeft() || capped.LastEventID != e.ID {
		t.Errorf("the verification is %+v", capped)
	}
	if !capped.FirstEventAt.Equal(t0) || !capped.LastEventAt.Equal(at(120)) || !capped.DueAt.Equal(at(240)) {
		t.Errorf("first event at %v, last at %v, due at %v", capped.FirstEventAt, capped.LastEventAt, capped.DueAt)
	}
	if ended, none := capped.Step(at(240), rand.Reader); none != nil || ended.Status != verify.Expired {
		t.Errorf("after the last step: %+v, %s", none, ended.Status)
	}
}

// TestHastenAnswered: an answered call may count as failed, a delivered one may not.
func TestHastenAnswered(t *testing.T) {
	t.Parallel()
	v, e := verify.Start(request(300, 125, 180), 0, t0, rand.Reader)
	for _, state := range eventStates() {
		e.State = state
		want := e.Failed() || state == verify.EventAnswered
		got, ok := v.Hasten(e, at(9))
		if ok != want || ok && !got.DueAt.Equal(at(9)) || !ok && !got.DueAt.Equal(at(125)) {
			t.Errorf("%s: %v, due at %v", state, ok, got.DueAt.Sub(t0))
		}
	}
	if _, ok := v.Hasten(e, at(125)); ok {
		t.Error("a step that is due was brought forward")
	}
}
