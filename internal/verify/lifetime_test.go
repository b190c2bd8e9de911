package verify_test

import (
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestPromptSteps: milliseconds of delay shift neither the plan nor the lifetimes that
// messages state; a real delay does.
func TestPromptSteps(t *testing.T) {
	t.Parallel()
	chosen, _ := verify.ParsePIN("4711")
	tests := []struct {
		name        string
		pinLife     int
		waits       []int
		speed       int
		pin         verify.PIN
		delay       float64 // seconds from the due time to each step
		wantEvents  []float64
		wantStated  []float64
		generations []int
	}{
		{"on time", 360, []int{120, 120, 120}, 0, verify.PIN{}, 0, []float64{0, 120, 240}, []float64{360, 240, 120}, []int{1, 1, 1}},
		{"half a second late", 360, []int{120, 120, 120}, 0, verify.PIN{}, 0.5, []float64{0, 120, 240}, []float64{360, 240, 120}, []int{1, 1, 1}},
		{"at speed 1", 360, []int{120, 120, 120}, 1, verify.PIN{}, 0.5, []float64{0, 120, 240}, []float64{360, 240, 120}, []int{1, 1, 1}},
		{"more", 360, []int{120, 120, 120}, 0, verify.PIN{}, 0.501, []float64{0, 120.501, 241.002}, []float64{360, 239.499, 118.998}, []int{1, 1, 1}},
		{"a minute left, half a second late", 180, []int{60, 60, 60}, 0, verify.PIN{}, 0.5, []float64{0, 60, 120}, []float64{180, 120, 60}, []int{1, 1, 1}},
		{"a minute left, more", 180, []int{60, 60, 60}, 0, verify.PIN{}, 0.75, []float64{0, 60.75, 121.5}, []float64{180, 119.25, 180}, []int{1, 1, 2}},
		{"new PIN, half a second late", 120, []int{120, 120, 120}, 0, verify.PIN{}, 0.5, []float64{0, 120, 240}, []float64{120, 120, 120}, []int{1, 2, 3}},
		{"chosen PIN, half a second late", 120, []int{120, 120, 120}, 0, chosen, 0.5, []float64{0, 120, 240}, []float64{120, 120, 120}, []int{1, 2, 3}},
		{"chosen PIN that dies meanwhile", 121, []int{120, 120, 120}, 60, chosen, 0.3, []float64{0, 2, 4}, []float64{121, 121, 121}, []int{1, 2, 3}},
		{"chosen PIN with less than a minute", 140, []int{120, 120, 120}, 0, chosen, 0, []float64{0, 120, 240}, []float64{140, 20, 140}, []int{1, 1, 2}},
		{"60 times faster", 360, []int{120, 120, 120}, 60, verify.PIN{}, 0.5, []float64{0, 2, 4}, []float64{360, 240.06, 120.06}, []int{1, 1, 1}},
		{"60 times faster, too late", 360, []int{120, 120, 120}, 60, verify.PIN{}, 0.501, []float64{0, 2.501, 5.002}, []float64{360, 210, 360}, []int{1, 1, 2}},
		{"no time for a delay", 1, []int{10, 10}, 0, verify.PIN{}, 0.501, []float64{0, 10.501}, []float64{1, 1}, []int{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := request(tt.pinLife, tt.waits...)
			req.Workflow.Speed, req.ChosenPIN = tt.speed, tt.pin
			delay := at(tt.delay).Sub(t0)
			v, first := begin(req, 0)
			e, now := &first, t0
			for i := range tt.wantEvents {
				if !e.StartedAt.Equal(at(tt.wantEvents[i])) || e.Generation != tt.generations[i] {
					t.Errorf("event %d is at %v with PIN %d, want %v s and %d", i, e.StartedAt.Sub(t0), e.Generation, tt.wantEvents[i], tt.generations[i])
				}
				if got := v.StatedLife(*e, now); got != at(tt.wantStated[i]).Sub(t0) {
					t.Errorf("event %d states %v, want %v s", i, got, tt.wantStated[i])
				}
				now = v.NextAt.Add(delay)
				v, e = step(v, now)
			}
		})
	}
}

// TestStatedLifeOfADelayedMessage: a message that leaves long after its event states
// the lifetime left by then.
func TestStatedLifeOfADelayedMessage(t *testing.T) {
	t.Parallel()
	v, e := begin(request(300, 125, 180), 0)
	fast := v
	fast.Workflow.Speed, fast.PINExpiresAt = 10, at(30)
	for _, tt := range []struct {
		v    verify.Verification
		now  float64
		want time.Duration
	}{
		{v, 0, 300 * time.Second},
		{v, -10, 300 * time.Second}, // the clock was set back
		{v, 2, 300 * time.Second},
		{v, 2.001, 297999 * time.Millisecond},
		{v, 90, 210 * time.Second},
		{v, 299, time.Second},
		{fast, 2, 300 * time.Second},
		{fast, 12, 180*time.Second + 10*time.Millisecond},
	} {
		if got := tt.v.StatedLife(e, at(tt.now)); got != tt.want {
			t.Errorf("%v s after its event, at speed %d: %v, want %v", tt.now, tt.v.Workflow.Speed, got, tt.want)
		}
	}
}

// TestTriggerBeforeThePINDies: an early event needs a minute as well.
func TestTriggerBeforeThePINDies(t *testing.T) {
	t.Parallel()
	chosen, _ := verify.ParsePIN("4711")
	for _, tt := range []struct {
		now        float64
		pin        verify.PIN
		generation int
		stated     time.Duration
	}{
		{60, verify.PIN{}, 1, time.Minute},
		{60.001, verify.PIN{}, 2, 2 * time.Minute},
		{119, verify.PIN{}, 2, 2 * time.Minute},
		{119, chosen, 1, time.Second},
		{120, chosen, 2, 2 * time.Minute},
	} {
		req := request(120, 180, 180)
		req.ChosenPIN = tt.pin
		v, _ := begin(req, 0)
		old := v.PIN
		v, e, err := trigger(v, at(tt.now))
		if err != nil || e.Generation != tt.generation || v.StatedLife(e, at(tt.now)) != tt.stated {
			t.Errorf("at %v s, chosen %v: generation %d states %v (%v), want %d and %v",
				tt.now, !tt.pin.IsZero(), e.Generation, v.StatedLife(e, at(tt.now)), err, tt.generation, tt.stated)
		}
		if !tt.pin.IsZero() && !v.PIN.Equal(old) {
			t.Errorf("at %v s the chosen PIN changed", tt.now)
		}
	}
}
