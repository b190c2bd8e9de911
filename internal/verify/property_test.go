package verify_test

import (
	"crypto/rand"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/verify"
)

// drawRequest generates any request that the rules must handle.
func drawRequest(t *rapid.T) verify.Request {
	seconds := func(most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Second
	}
	req := verify.Request{
		Account: "demo0001", To: verify.PhoneAddress("447700900000", ""),
		CodeLength: rapid.IntRange(verify.MinPINLength, verify.MaxPINLength).Draw(t, "code length"),
		Workflow: verify.Workflow{
			PINLife:     seconds(3600, "PIN life") + time.Second,
			PINPolicy:   rapid.SampledFrom([]verify.PINPolicy{verify.ReusePIN, verify.RenewPIN}).Draw(t, "PIN policy"),
			CancelAfter: seconds(60, "cancel after"),
			Speed:       rapid.SampledFrom([]int{0, 1, 7, 1000}).Draw(t, "speed"),
		},
	}
	for range rapid.IntRange(1, 5).Draw(t, "steps") {
		req.Workflow.Steps = append(req.Workflow.Steps, verify.Step{
			Channel: rapid.SampledFrom([]verify.Channel{verify.SMS, verify.TTS}).Draw(t, "channel"),
			Wait:    seconds(900, "wait"),
		})
	}
	if rapid.Bool().Draw(t, "chosen PIN") {
		req.ChosenPIN, _ = verify.ParsePIN(rapid.StringMatching(`[0-9A-Za-z]{4,10}`).Draw(t, "PIN"))
	}
	return req
}

// life is one verification with its history.
type life struct {
	t       *rapid.T
	v       verify.Verification
	now     time.Time
	events  []verify.ID
	pins    map[int]verify.PIN // PINs by generation
	guesses map[string]int     // wrong codes for each PIN
	ended   verify.Status      // "" while in progress
}

// TestRules applies random rules at random times, and asserts the invariants of each state.
func TestRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := &life{t: t, now: t0, pins: map[int]verify.PIN{}, guesses: map[string]int{}}
		h.saw(mustBegin(beginning(drawRequest(t), 5)))
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 400_000).Draw(t, "ms")) * time.Millisecond)
			},
			"step": func(t *rapid.T) {
				if h.ended != "" {
					return // no step is due
				}
				if h.now.Before(h.v.NextAt) {
					h.now = h.v.NextAt
				}
				h.step(rapid.Bool().Draw(t, "in flight"))
			},
			"trigger": func(*rapid.T) {
				c, err := h.v.Trigger(node, verify.Uncapped{}, h.now, rand.Reader)
				h.decided(err, verify.KindNoMoreEvents)
				if err == nil {
					h.saw(c)
				}
			},
			"fail": func(t *rapid.T) {
				h.fail(rapid.IntRange(0, len(h.events)-1).Draw(t, "event"), rapid.SampledFrom([]verify.EventState{
					verify.EventRefused, verify.EventUndeliverable, verify.EventExpired, verify.EventRejected, verify.EventHeld,
				}).Draw(t, "state"))
			},
			"cancel": func(*rapid.T) {
				c, err := h.v.Cancel(h.now)
				h.decided(err, verify.KindCancelTooEarly, verify.KindCancelTooLate)
				if err != nil {
					return
				}
				if len(h.events) != 1 || c.Verification.Status != verify.Cancelled {
					h.t.Fatalf("cancelled to %s after %d events", c.Verification.Status, len(h.events))
				}
				h.saw(c)
			},
			"right code": func(*rapid.T) { h.check(h.v.PIN) },
			"old code": func(t *rapid.T) {
				h.check(h.pins[rapid.IntRange(1, len(h.pins)).Draw(t, "generation")])
			},
			"any code": func(t *rapid.T) {
				code, _ := verify.ParsePIN(rapid.StringMatching(`[0-9]{4,6}`).Draw(t, "code"))
				h.check(code)
			},
			"": h.invariants,
		})
	})
}

// step takes the due step, on the node that is still submitting all open events or on
// another one.
func (h *life) step(flying bool) {
	r := runner()
	r.InFlight = func(verify.ID) bool { return flying }
	c := h.v.Recover(r, verify.Uncapped{}, h.now, rand.Reader)
	if !c.Stepped || c.Late != h.now.Sub(h.v.NextAt) {
		h.t.Fatalf("stepped %v, %v late", c.Stepped, c.Late)
	}
	h.saw(c)
}

// decided accepts only errors of the given kinds, and only KindNotFound after the end of
// the verification.
func (h *life) decided(err error, kinds ...verify.Kind) {
	over := h.v.At(h.now).Status != verify.InProgress
	if over != (kind(err) == verify.KindNotFound) {
		h.t.Fatalf("over: %v, but the answer is %v", over, err)
	}
	if err == nil || over {
		return
	}
	for _, k := range kinds {
		if kind(err) == k {
			return
		}
	}
	h.t.Fatalf("refused with %v", err)
}

// fail records that an event failed, and takes the step that becomes due: only the step
// after the newest event. A known outcome does not change.
func (h *life) fail(seq int, state verify.EventState) {
	e, before := h.v.Events[seq], h.v
	open, wantState := e.State == verify.EventSubmitting || e.State == verify.EventUnknown, e.State
	if open {
		wantState = state
	}
	o := outcome(before, seq, state)
	c, want := before.Outcome(o, hasten, h.now), before.Outcome(o, onFailure, h.now).Verification
	v := c.Verification
	if !want.NextAt.Equal(before.NextAt) || want.Events[seq].State != wantState {
		h.t.Fatalf("event %d, with the outcome %s after %s, gave %+v", seq, state, e.State, want)
	}
	may := open && seq == len(h.events)-1 && before.At(h.now).Status == verify.InProgress &&
		len(h.events) < len(before.Workflow.Steps) && h.now.Before(before.NextAt)
	if may {
		want.NextAt = h.now
		if len(v.Open()) == 0 {
			want.Lease = verify.Lease{Token: before.Lease.Token + 1}
		}
	}
	if !reflect.DeepEqual(v, want) {
		h.t.Fatalf("event %d of %d failed at %v: %+v; want %+v", seq, len(h.events), h.now, v, want)
	}
	h.saw(c)
	if !may {
		return
	}
	if twice := v.Outcome(o, hasten, h.now.Add(time.Second)).Verification; !twice.NextAt.Equal(v.NextAt) {
		h.t.Fatal("the same failure brought the step forward twice")
	}
	if v.Sendable(v.Events[seq], h.now) || !v.At(h.now).NextAt.Equal(h.now) {
		h.t.Fatalf("event %d failed and is still sendable: %+v", seq, v)
	}
	h.step(true)
	if h.ended != "" || len(h.events) != seq+2 {
		h.t.Fatalf("event %d failed without a next event: %s", seq, h.v.Status)
	}
}

func (h *life) check(code verify.PIN) {
	before := h.v
	change, err := h.v.Check(code, "192.0.2.1", verify.Uncapped{}, h.now)
	v, c, err := checked(h.v, change, err)
	h.decided(err, verify.KindWrongCode, verify.KindTooManyCodes)
	if kind(err) == verify.KindNotFound {
		return
	}
	right := before.PIN.Equal(code) && h.now.Before(before.PINExpiresAt)
	if right != (err == nil) || right != c.Valid || right != (v.Status == verify.Success) {
		h.t.Fatalf("the code is right: %v, but: %v, %+v, %s", right, err, c, v.Status)
	}
	if !c.Code.Equal(code) || c.Generation != before.Generation || !c.ReceivedAt.Equal(h.now) {
		h.t.Fatalf("the check is recorded as %+v", c)
	}
	if !right {
		key := before.PIN.Reveal()
		if before.ChosenPIN.IsZero() { // two generated PINs may be equal
			key = string(rune(before.Generation))
		}
		h.guesses[key]++
		if n := h.guesses[key]; n > verify.TriesPerPIN || (n == verify.TriesPerPIN) != (v.Status == verify.Failed) {
			h.t.Fatalf("after %d wrong codes for one PIN it is %s", n, v.Status)
		}
	}
	h.saw(change)
}

// saw checks a change and records it.
func (h *life) saw(c verify.Change) {
	v, e := c.Verification, c.Send
	if h.ended != "" && (v.Status != h.ended || !v.FinalizedAt.Equal(h.v.FinalizedAt)) {
		h.t.Fatalf("ended %s at %v, and again %s at %v", h.ended, h.v.FinalizedAt, v.Status, v.FinalizedAt)
	}
	if v.Status != verify.InProgress && h.ended == "" {
		h.ended = v.Status
		// Expiry has its own time, even if it is recorded late.
		if late := v.Status == verify.Expired && v.FinalizedAt.Before(h.now); !late && !v.FinalizedAt.Equal(h.now) {
			h.t.Fatalf("ended at %v, not at %v", v.FinalizedAt, h.now)
		}
	}
	if e != nil {
		late := h.now.Sub(e.StartedAt)
		if e.Seq != len(h.events) || e.Generation != v.Generation ||
			late != 0 && (late < 0 || late > 500*time.Millisecond || !e.StartedAt.Equal(h.v.NextAt)) ||
			e.State != verify.EventSubmitting || e.Attempt != 1 || e.Channel != v.Workflow.Steps[e.Seq].Channel {
			h.t.Fatalf("event %d is %+v", len(h.events), *e)
		}
		if !h.now.Before(v.PINExpiresAt) {
			h.t.Fatalf("event %d carries a PIN that died at %v", e.Seq, v.PINExpiresAt)
		}
		if v.NextAt.Before(e.StartedAt) {
			h.t.Fatalf("after event %d the next step was due at %v", e.Seq, v.NextAt)
		}
		h.lifetime(v, *e)
		h.events = append(h.events, e.ID)
	}
	if v.Status == verify.InProgress {
		if old, ok := h.pins[v.Generation]; ok && !old.Equal(v.PIN) {
			h.t.Fatalf("generation %d has two PINs", v.Generation)
		}
		if len(h.pins) > 0 && v.Generation-h.v.Generation > 1 {
			h.t.Fatalf("generation %d follows %d", v.Generation, h.v.Generation)
		}
		h.pins[v.Generation] = v.PIN
	}
	h.v = v
}

// lifetime checks the PIN of a new event. The previous PIN is kept if it is valid for
// another minute at the time of the event, or is valid and chosen by the application. The
// message states the remaining lifetime.
func (h *life) lifetime(v verify.Verification, e verify.Event) {
	scaled := func(d time.Duration) time.Duration {
		return (d / time.Duration(max(1, v.Workflow.Speed))).Truncate(time.Millisecond)
	}
	left := h.v.PINExpiresAt.Sub(e.StartedAt)
	keep := len(h.events) > 0 && v.Workflow.PINPolicy == verify.ReusePIN && h.now.Before(h.v.PINExpiresAt) &&
		(!v.ChosenPIN.IsZero() || left >= scaled(time.Minute))
	if keep != (v.Generation == h.v.Generation) {
		h.t.Fatalf("event %d, with %v left, has PIN generation %d after %d", e.Seq, left, v.Generation, h.v.Generation)
	}
	if !keep {
		if left = scaled(v.Workflow.PINLife); !v.PINExpiresAt.Equal(e.StartedAt.Add(left)) {
			h.t.Fatalf("the new PIN of event %d at %v lives until %v", e.Seq, e.StartedAt, v.PINExpiresAt)
		}
		if got := v.StatedLife(e, h.now); got != v.Workflow.PINLife {
			h.t.Fatalf("event %d states a life of %v, want %v", e.Seq, got, v.Workflow.PINLife)
		}
		return
	}
	if !v.PINExpiresAt.Equal(h.v.PINExpiresAt) {
		h.t.Fatalf("event %d keeps its PIN and changes its expiry", e.Seq)
	}
	speed := int64(max(1, v.Workflow.Speed))
	least, most := time.Duration(left.Nanoseconds()*speed), time.Duration((left+time.Millisecond).Nanoseconds()*speed)
	if got := v.StatedLife(e, h.now); got < least && got != v.Workflow.PINLife || got > min(most, v.Workflow.PINLife) {
		h.t.Fatalf("event %d states a life of %v, want %v", e.Seq, got, least)
	}
}

// invariants checks conditions that always apply.
func (h *life) invariants(*rapid.T) {
	v := h.v
	if len(v.Events) != len(h.events) || len(v.Events) < 1 || len(v.Events) > len(v.Workflow.Steps) {
		h.t.Fatalf("%d events are counted, %d were made", len(v.Events), len(h.events))
	}
	if v.LastEventID() != h.events[len(h.events)-1] || !v.FirstEventAt().Equal(t0) || !v.SubmittedAt.Equal(t0) {
		h.t.Fatalf("its last event is %s, and its first at %v", v.LastEventID(), v.FirstEventAt())
	}
	if v.Price != 5 {
		h.t.Fatalf("the price changed to %s", v.Price)
	}
	if v.Status != verify.InProgress {
		if !v.PIN.IsZero() || !v.ChosenPIN.IsZero() || !v.NextAt.IsZero() || v.FinalizedAt.IsZero() {
			h.t.Fatalf("%s, but with a PIN or a next step: %+v", v.Status, v)
		}
		return
	}
	if v.PIN.IsZero() || v.NextAt.IsZero() || !v.FinalizedAt.IsZero() || v.Tries >= verify.TriesPerPIN {
		h.t.Fatalf("in progress, but without a PIN, a next step or tries: %+v", v)
	}
	if !v.ChosenPIN.IsZero() && !v.PIN.Equal(v.ChosenPIN) {
		h.t.Fatal("the PIN differs from the application's choice")
	}
	if v.ChosenPIN.IsZero() && len(v.PIN.Reveal()) != v.CodeLength {
		h.t.Fatalf("a PIN of %d characters, want %d", len(v.PIN.Reveal()), v.CodeLength)
	}
	if at := v.At(h.now); at.Status != verify.InProgress && (at.Status != verify.Expired || at.FinalizedAt.After(h.now) || !at.PIN.IsZero()) {
		h.t.Fatalf("by now it is %s at %v", at.Status, at.FinalizedAt)
	}
}
