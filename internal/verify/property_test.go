package verify_test

import (
	"crypto/rand"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/verify"
)

// drawRequest makes any request that the rules must cope with.
func drawRequest(t *rapid.T) verify.Request {
	seconds := func(most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Second
	}
	req := verify.Request{
		Account: "demo0001", Number: "447700900000",
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

// history is what was seen of one verification.
type history struct {
	t       *rapid.T
	v       verify.Verification
	now     time.Time
	start   time.Time
	events  []verify.Event
	pins    map[int]verify.PIN // by generation
	guesses map[string]int     // wrong codes for each PIN
	ended   verify.Status      // "" while in progress
}

// TestRules drives verifications with whatever may happen to them, at any time,
// and holds what must always be true against every state on the way.
func TestRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := &history{t: t, now: t0, start: t0, pins: map[int]verify.PIN{}, guesses: map[string]int{}}
		req := drawRequest(t)
		v, first := verify.Start(req, 5, h.now, rand.Reader)
		h.saw(v, &first)
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 400_000).Draw(t, "ms")) * time.Millisecond)
			},
			"step": func(*rapid.T) {
				if h.ended != "" {
					return // nothing is due any more
				}
				if h.now.Before(h.v.DueAt) {
					h.now = h.v.DueAt
				}
				h.saw(h.v.Step(h.now, rand.Reader))
			},
			"trigger": func(*rapid.T) {
				v, e, err := h.v.Trigger(h.now, rand.Reader)
				h.decided(err, verify.KindNoMoreEvents)
				if err == nil {
					h.saw(v, &e)
				}
			},
			"fail": func(t *rapid.T) {
				h.fail(rapid.IntRange(0, len(h.events)-1).Draw(t, "event"), rapid.SampledFrom([]verify.EventState{
					verify.EventRefused, verify.EventUndeliverable, verify.EventExpired, verify.EventRejected, verify.EventHeld,
				}).Draw(t, "state"))
			},
			"cancel": func(*rapid.T) {
				v, err := h.v.Cancel(h.now)
				h.decided(err, verify.KindCancelTooEarly, verify.KindCancelTooLate)
				if err == nil && (len(h.events) != 1 || v.Status != verify.Cancelled) {
					h.t.Fatalf("cancelled to %s after %d events", v.Status, len(h.events))
				}
				h.saw(v, nil)
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

// decided allows an error of some kinds only, and none but KindNotFound once the
// verification is over.
func (h *history) decided(err error, kinds ...verify.Kind) {
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

// fail lets an event fail, and takes the step that this brings forward: one that
// was to come, and none otherwise.
func (h *history) fail(seq int, state verify.EventState) {
	e, before := h.events[seq], h.v
	if v, ok := before.Hasten(e, h.now); ok || !reflect.DeepEqual(v, before) {
		h.t.Fatalf("event %d has not failed, but it changed %+v", seq, v)
	}
	e.State = state
	v, ok := before.Hasten(e, h.now)
	want := before
	if may := seq == len(h.events)-1 && before.At(h.now).Status == verify.InProgress &&
		len(h.events) < len(before.Workflow.Steps) && h.now.Before(before.DueAt); may {
		want.DueAt = h.now
	}
	if ok != !want.DueAt.Equal(before.DueAt) || !reflect.DeepEqual(v, want) {
		h.t.Fatalf("event %d of %d failed at %v: %v, due at %v; want %v", seq, len(h.events), h.now, ok, v.DueAt, want.DueAt)
	}
	if !ok {
		return
	}
	if _, twice := v.Hasten(e, h.now); twice {
		h.t.Fatal("the same failure brought the step forward twice")
	}
	if v.Sendable(e, h.now) || !v.At(h.now).DueAt.Equal(h.now) {
		h.t.Fatalf("event %d failed, and is still of use: %+v", seq, v)
	}
	h.v = v
	v, next := v.Step(h.now, rand.Reader)
	if next == nil {
		h.t.Fatalf("event %d failed, and no other came: %s", seq, v.Status)
	}
	h.saw(v, next)
}

func (h *history) check(code verify.PIN) {
	before := h.v
	v, c, err := h.v.Check(code, "192.0.2.1", h.now)
	h.decided(err, verify.KindWrongCode, verify.KindTooManyCodes)
	if kind(err) == verify.KindNotFound {
		return
	}
	right := before.PIN.Equal(code) && h.now.Before(before.PINExpiresAt)
	if right != (err == nil) || right != c.Valid || right != (v.Status == verify.Success) {
		h.t.Fatalf("the code is right: %v, but: %v, %+v, %s", right, err, c, v.Status)
	}
	if !c.Code.Equal(code) || c.Generation != before.Generation || c.Verification != v.ID || !c.ReceivedAt.Equal(h.now) {
		h.t.Fatalf("the check is recorded as %+v", c)
	}
	if !right {
		key := before.PIN.Reveal()
		if before.ChosenPIN.IsZero() { // two drawn PINs may be the same
			key = string(rune(before.Generation))
		}
		h.guesses[key]++
		if n := h.guesses[key]; n > verify.TriesPerPIN || (n == verify.TriesPerPIN) != (v.Status == verify.Failed) {
			h.t.Fatalf("after %d wrong codes for one PIN it is %s", n, v.Status)
		}
	}
	h.saw(v, nil)
}

// saw takes note of a transition.
func (h *history) saw(v verify.Verification, e *verify.Event) {
	if h.ended != "" && (v.Status != h.ended || !v.FinalizedAt.Equal(h.v.FinalizedAt)) {
		h.t.Fatalf("ended %s at %v, and again %s at %v", h.ended, h.v.FinalizedAt, v.Status, v.FinalizedAt)
	}
	if v.Status != verify.InProgress && h.ended == "" {
		h.ended = v.Status
		// An end that comes by itself has its time, however late it is written.
		if late := v.Status == verify.Expired && v.FinalizedAt.Before(h.now); !late && !v.FinalizedAt.Equal(h.now) {
			h.t.Fatalf("ended at %v, not at %v", v.FinalizedAt, h.now)
		}
	}
	if e != nil {
		late := h.now.Sub(e.StartedAt)
		if e.Seq != len(h.events) || e.Verification != v.ID || e.Generation != v.Generation ||
			late != 0 && (late < 0 || late > 500*time.Millisecond || !e.StartedAt.Equal(h.v.DueAt)) ||
			e.State != verify.EventSubmitting || e.Attempt != 1 || e.Channel != v.Workflow.Steps[e.Seq].Channel {
			h.t.Fatalf("event %d is %+v", len(h.events), *e)
		}
		if !h.now.Before(v.PINExpiresAt) {
			h.t.Fatalf("event %d carries a PIN that died at %v", e.Seq, v.PINExpiresAt)
		}
		if v.DueAt.Before(e.StartedAt) {
			h.t.Fatalf("after event %d the next step was due at %v", e.Seq, v.DueAt)
		}
		h.lifetime(v, *e)
		h.events = append(h.events, *e)
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

// lifetime checks the PIN of a new event: it is the one before if that has a minute
// left by the time of the event, or lives and was chosen by the application. The
// message states the lifetime left.
func (h *history) lifetime(v verify.Verification, e verify.Event) {
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

// invariants holds at any time.
func (h *history) invariants(*rapid.T) {
	v := h.v
	if v.Events != len(h.events) || v.Events < 1 || v.Events > len(v.Workflow.Steps) {
		h.t.Fatalf("%d events are counted, %d were made", v.Events, len(h.events))
	}
	last := h.events[len(h.events)-1]
	if v.LastEventID != last.ID || !v.LastEventAt.Equal(last.StartedAt) || !v.FirstEventAt.Equal(h.start) || !v.SubmittedAt.Equal(h.start) {
		h.t.Fatalf("it says that its last event is %s at %v", v.LastEventID, v.LastEventAt)
	}
	if v.Price != 5 {
		h.t.Fatalf("the price changed to %s", v.Price)
	}
	if v.Status != verify.InProgress {
		if !v.PIN.IsZero() || !v.ChosenPIN.IsZero() || !v.DueAt.IsZero() || v.FinalizedAt.IsZero() {
			h.t.Fatalf("%s, but with a PIN or a next step: %+v", v.Status, v)
		}
		return
	}
	if v.PIN.IsZero() || v.DueAt.IsZero() || !v.FinalizedAt.IsZero() || v.Tries >= verify.TriesPerPIN {
		h.t.Fatalf("in progress, but without a PIN, a next step or tries: %+v", v)
	}
	if !v.ChosenPIN.IsZero() && !v.PIN.Equal(v.ChosenPIN) {
		h.t.Fatal("the PIN is not the one that the application chose")
	}
	if v.ChosenPIN.IsZero() && len(v.PIN.Reveal()) != v.CodeLength {
		h.t.Fatalf("a PIN of %d characters, want %d", len(v.PIN.Reveal()), v.CodeLength)
	}
	if at := v.At(h.now); at.Status != verify.InProgress && (at.Status != verify.Expired || at.FinalizedAt.After(h.now) || !at.PIN.IsZero()) {
		h.t.Fatalf("by now it is %s at %v", at.Status, at.FinalizedAt)
	}
}
