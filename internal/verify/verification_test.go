package verify_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/verify"
)

// TestSchedule runs workflows to their end without an answer. The PIN rows are the
// published table (spec §5).
func TestSchedule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		pinLife     int
		waits       []int
		speed       int
		wantEvents  []float64
		generations []int
		wantEnd     float64
	}{
		{"workflow 1 default", 300, []int{125, 180, 300}, 0, []float64{0, 125, 305}, []int{1, 1, 2}, 605},
		{"workflow 3 default", 300, []int{150, 150}, 0, []float64{0, 150}, []int{1, 1}, 300},
		{"workflow 4 default", 300, []int{120, 180}, 0, []float64{0, 120}, []int{1, 1}, 300},
		{"workflow 6 default", 300, []int{0}, 0, []float64{0}, []int{1}, 300},
		{"360/120 keeps the PIN", 360, []int{120, 120, 120}, 0, []float64{0, 120, 240}, []int{1, 1, 1}, 360},
		{"240/120 renews for the third", 240, []int{120, 120, 120}, 0, []float64{0, 120, 240}, []int{1, 1, 2}, 480},
		{"120/120 renews each time", 120, []int{120, 120, 120}, 0, []float64{0, 120, 240}, []int{1, 2, 3}, 360},
		{"120/60 keeps a PIN with a minute left", 120, []int{60, 60, 60}, 0, []float64{0, 60, 120}, []int{1, 1, 2}, 240},
		{"180/60 does so twice", 180, []int{60, 60, 60}, 0, []float64{0, 60, 120}, []int{1, 1, 1}, 180},
		{"179 renews for the second", 179, []int{120, 180}, 0, []float64{0, 120}, []int{1, 2}, 300},
		{"PIN outlives the events", 3600, []int{125, 180, 300}, 0, []float64{0, 125, 305}, []int{1, 1, 1}, 3600},
		{"events outlive the PIN", 60, []int{125, 180, 300}, 0, []float64{0, 125, 305}, []int{1, 2, 3}, 605},
		{"ten times faster", 300, []int{125, 180, 300}, 10, []float64{0, 12.5, 30.5}, []int{1, 1, 2}, 60.5},
		{"faster in odd parts", 120, []int{120, 120, 120}, 7, []float64{0, 17.142, 34.284}, []int{1, 2, 3}, 51.426},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := request(tt.pinLife, tt.waits...)
			req.Workflow.Speed = tt.speed
			v, e := begin(req, 0)
			var times []float64
			var generations []int
			for event := &e; event != nil; {
				times = append(times, event.StartedAt.Sub(t0).Seconds())
				generations = append(generations, event.Generation)
				v, event = step(v, v.NextAt)
			}
			if got, want := fmt.Sprint(times), fmt.Sprint(tt.wantEvents); got != want {
				t.Errorf("events at %s, want %s", got, want)
			}
			if got, want := fmt.Sprint(generations), fmt.Sprint(tt.generations); got != want {
				t.Errorf("PIN generations %s, want %s", got, want)
			}
			if got := v.FinalizedAt.Sub(t0).Seconds(); got != tt.wantEnd || v.Status != verify.Expired {
				t.Errorf("ended %s at %v, want EXPIRED at %v", v.Status, got, tt.wantEnd)
			}
			if !v.PIN.IsZero() {
				t.Error("the PIN outlived the verification")
			}
		})
	}
}

func TestRenewPolicyGivesEveryEventItsPIN(t *testing.T) {
	t.Parallel()
	req := request(3600, 60, 60, 60)
	req.Workflow.PINPolicy = verify.RenewPIN
	v := start(t, req)
	v, e := step(v, at(60))
	if e.Generation != 2 || v.Generation != 2 {
		t.Errorf("second event carries generation %d, want 2", e.Generation)
	}
}

// TestStepAfterOutage: after an outage, a verification continues if its plan has time left,
// and otherwise ends.
func TestStepAfterOutage(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180, 300))
	if _, e := step(v, at(400)); e == nil || e.Seq != 1 {
		t.Errorf("400 s later: event %+v, want the second", e)
	}
	if ended, e := step(v, at(999)); e != nil || ended.Status != verify.Expired || !ended.FinalizedAt.Equal(at(605)) {
		t.Errorf("999 s later: event %+v, %s at %v, want EXPIRED at 605 s", e, ended.Status, ended.FinalizedAt)
	}
	if got := v.At(at(605)); got.Status != verify.Expired || !got.FinalizedAt.Equal(at(605)) || !got.PIN.IsZero() {
		t.Errorf("At(605 s) = %s at %v, want EXPIRED at its planned end", got.Status, got.FinalizedAt)
	}
	if got := v.At(at(604.999)); got.Status != verify.InProgress {
		t.Errorf("At(604.999 s) = %s, want IN PROGRESS", got.Status)
	}
}

func wrong(v verify.Verification) verify.PIN {
	code := "0000"
	if v.PIN.Reveal() == code {
		code = "1111"
	}
	pin, _ := verify.ParsePIN(code)
	return pin
}

func TestCheck(t *testing.T) {
	t.Parallel()
	req := request(120, 180, 180)
	t.Run("RightCode", func(t *testing.T) {
		t.Parallel()
		v := start(t, req)
		v, c, err := check(v, v.PIN, "192.0.2.1", at(119))
		if err != nil || v.Status != verify.Success || !c.Valid || c.IPAddress != "192.0.2.1" || !v.FinalizedAt.Equal(at(119)) {
			t.Fatalf("got %s, %+v, %v", v.Status, c, err)
		}
		if !v.PIN.IsZero() || !v.NextAt.IsZero() {
			t.Error("a finished verification keeps its PIN or a due time")
		}
		if _, _, err := check(v, c.Code, "", at(119)); kind(err) != verify.KindNotFound {
			t.Errorf("the same code again: %v, want KindNotFound", err)
		}
	})
	t.Run("ThreeWrongCodes", func(t *testing.T) {
		t.Parallel()
		v := start(t, req)
		pin := v.PIN
		for i, want := range []verify.Kind{verify.KindWrongCode, verify.KindWrongCode, verify.KindTooManyCodes} {
			var err error
			v, _, err = check(v, wrong(v), "", at(1))
			if kind(err) != want {
				t.Fatalf("wrong code %d: %v, want %s", i+1, err, want)
			}
		}
		if v.Status != verify.Failed {
			t.Errorf("status %s, want FAILED", v.Status)
		}
		if _, _, err := check(v, pin, "", at(2)); kind(err) != verify.KindNotFound {
			t.Errorf("the right code afterwards: %v, want KindNotFound", err)
		}
	})
	t.Run("ExpiredPINIsWrong", func(t *testing.T) {
		t.Parallel()
		v := start(t, req)
		v, c, err := check(v, v.PIN, "", at(120))
		if kind(err) != verify.KindWrongCode || c.Valid || v.Tries != 1 {
			t.Errorf("got %v, valid %v, %d tries; want a wrong code that counts", err, c.Valid, v.Tries)
		}
	})
	t.Run("NewPINRestartsTries", func(t *testing.T) {
		t.Parallel()
		v := start(t, req)
		old := v.PIN
		v, _, _ = check(v, wrong(v), "", at(1))
		v, _, _ = check(v, wrong(v), "", at(2))
		v, _ = step(v, at(180))
		if v.Tries != 0 || v.Generation != 2 {
			t.Fatalf("%d tries, generation %d; want 0, 2", v.Tries, v.Generation)
		}
		if !old.Equal(v.PIN) { // one time in 10,000 they are equal
			if _, c, err := check(v, old, "", at(181)); c.Valid || err == nil {
				t.Error("the dead PIN was accepted")
			}
		}
		if _, _, err := check(v, v.PIN, "", at(181)); err != nil {
			t.Errorf("the new PIN: %v", err)
		}
	})
	t.Run("ChosenPINKeepsCounting", func(t *testing.T) {
		t.Parallel()
		req := req
		req.ChosenPIN, _ = verify.ParsePIN("Ab12345")
		v := start(t, req)
		v, _, _ = check(v, wrong(v), "", at(1))
		v, _, _ = check(v, wrong(v), "", at(2))
		v, _ = step(v, at(180))
		if !v.PIN.Equal(req.ChosenPIN) || v.Tries != 2 {
			t.Errorf("renewed to another PIN (%v) or forgot tries (%d)", !v.PIN.Equal(req.ChosenPIN), v.Tries)
		}
	})
	t.Run("AfterTheEnd", func(t *testing.T) {
		t.Parallel()
		v := start(t, request(600, 60))
		if _, _, err := check(v, v.PIN, "", at(600)); kind(err) != verify.KindNotFound {
			t.Errorf("got %v, want KindNotFound", err)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180, 300))
	second, _ := step(v, at(125))
	fast := v
	fast.Workflow.Speed = 10
	tests := []struct {
		name string
		v    verify.Verification
		now  time.Time
		want verify.Kind
	}{
		{"at once", v, at(0), verify.KindCancelTooEarly},
		{"just before 30 s", v, at(29.999), verify.KindCancelTooEarly},
		{"at 30 s", v, at(30), -1},
		{"ten times faster", fast, at(3), -1},
		{"just before the second event", v, at(124.999), -1},
		{"after the second event", second, at(126), verify.KindCancelTooLate},
		{"after the end", v, at(9999), verify.KindNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := cancel(tt.v, tt.now)
			if kind(err) != tt.want {
				t.Fatalf("Cancel: %v, want %s", err, tt.want)
			}
			if err == nil && (got.Status != verify.Cancelled || !got.FinalizedAt.Equal(tt.now)) {
				t.Errorf("got %s at %v", got.Status, got.FinalizedAt)
			}
		})
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	v := start(t, request(300, 125, 180, 300))
	pin := v.PIN
	v, e, err := trigger(v, at(5))
	if err != nil || e.Seq != 1 || !v.PIN.Equal(pin) || !v.NextAt.Equal(at(185)) {
		t.Fatalf("second event %+v due %v (%v), want the same PIN and the next after 180 s", e, v.NextAt, err)
	}
	v, _, _ = trigger(v, at(6))
	if _, _, err := trigger(v, at(7)); kind(err) != verify.KindNoMoreEvents {
		t.Errorf("fourth event: %v, want KindNoMoreEvents", err)
	}
	if !v.NextAt.Equal(at(306)) {
		t.Errorf("ends at %v, want the last event's wait after it", v.NextAt)
	}
	if _, _, err := trigger(v, at(306)); kind(err) != verify.KindNotFound {
		t.Errorf("after the end: %v, want KindNotFound", err)
	}
}

func TestResend(t *testing.T) {
	t.Parallel()
	v, e := begin(request(100, 125, 180), 0)
	cancelled, err := cancel(v, at(31))
	if err != nil {
		t.Fatal(err)
	}
	next, _ := step(v, at(125))
	twice, accepted := e, e
	twice.Attempt = verify.MaxAttempts
	accepted.State = verify.EventAccepted
	tests := []struct {
		name string
		v    verify.Verification
		e    verify.Event
		now  time.Time
		want bool
	}{
		{"fresh", v, e, at(10), true},
		{"sent twice already", v, twice, at(10), false},
		{"outcome known", v, accepted, at(10), false},
		{"PIN dead", v, e, at(100), false},
		{"next step due", v, e, at(125), false},
		{"overtaken by the next event", next, e, at(126), false},
		{"over", cancelled, e, at(32), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.v.Resend(tt.e, tt.now); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPINHidesItself(t *testing.T) {
	t.Parallel()
	pin, ok := verify.ParsePIN("4711")
	if !ok {
		t.Fatal("4711 is a PIN")
	}
	text, err := json.Marshal(struct{ P verify.PIN }{pin})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(pin), fmt.Sprintf("%v %+v %#v %s %q", pin, pin, pin, pin, pin), string(text),
		fmt.Sprintf("%+v", verify.Verification{PIN: pin}), pin.LogValue().String(),
	} {
		for i := 0; i+4 <= len(shown); i++ {
			if shown[i:i+4] == "4711" {
				t.Errorf("shown in %q", shown)
			}
		}
	}
}

func TestParsePIN(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"1234": true, "aB3456": true, "1234567890": true,
		"": false, "123": false, "12345678901": false, "12 34": false, "12é4": false, "１２３４": false, "12\x004": false,
	} {
		if _, got := verify.ParsePIN(code); got != want {
			t.Errorf("ParsePIN(%q) = %v, want %v", code, got, want)
		}
	}
}

// TestIDAt: later milliseconds have greater ids, as a UUID and as stored octets; ids of one
// millisecond differ.
func TestIDAt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 1, 2, 3, 4e6, time.UTC)
	id := verify.IDAt(at, rand.Reader)
	if s := id.String(); !strings.HasPrefix(s, "01a2155f-b2fc-4") || !strings.ContainsRune("89ab", rune(s[19])) {
		t.Errorf("%s is no version 4 UUID of %v", s, at)
	}
	if verify.IDAt(at, rand.Reader) == id {
		t.Error("drawn twice")
	}
	for _, later := range []time.Duration{time.Millisecond, 300 * time.Millisecond, 100 * 365 * 24 * time.Hour} {
		if next := verify.IDAt(at.Add(later), rand.Reader); bytes.Compare(next[:], id[:]) <= 0 || next.Hex() <= id.Hex() {
			t.Errorf("%s, %v later, is not after %s", next, later, id)
		}
	}
}

// TestNewPINIsUniform: χ² over the digits of 100,000 PINs; 9 degrees of freedom,
// p > 10⁻⁶ below 45. Bytes taken modulo 10 would give about 640.
func TestNewPINIsUniform(t *testing.T) {
	t.Parallel()
	const pins, length = 100_000, 6
	var count [10]float64
	for range pins {
		for _, c := range verify.NewPIN(rand.Reader, length).Reveal() {
			count[c-'0']++
		}
	}
	const expected = pins * length / 10
	chi2 := 0.0
	for _, n := range count {
		chi2 += (n - expected) * (n - expected) / expected
	}
	if chi2 > 45 {
		t.Errorf("χ² = %.1f over %v", chi2, count)
	}
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0.1205": "0.12050000", "361": "361.00000000", "-2.5": "-2.50000000", "0.00000001": "0.00000001",
		"92233720368.54775807": "92233720368.54775807",
	} {
		m, err := verify.ParseMoney(text)
		if err != nil || m.String() != want {
			t.Errorf("ParseMoney(%q) = %s, %v; want %s", text, m, err, want)
		}
	}
	for _, text := range []string{"", ".", ".5", "1.123456789", "1e3", "+1", "--1", "1,5", "92233720369"} {
		if m, err := verify.ParseMoney(text); err == nil {
			t.Errorf("ParseMoney(%q) = %s, want an error", text, m)
		}
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	id := verify.NewID(rand.Reader)
	if s := id.String(); s[14] != '4' || len(s) != 36 {
		t.Errorf("%s is not a version 4 UUID", s)
	}
	for _, form := range []string{id.String(), id.Hex()} {
		if got, ok := verify.ParseID(form); !ok || got != id {
			t.Errorf("ParseID(%q) = %v, %v", form, got, ok)
		}
	}
	for _, bad := range []string{"", "0", id.Hex()[1:], id.Hex() + "0", "zz" + id.Hex()[2:], id.Hex()[:8] + "-" + id.Hex()[8:] + "---"} {
		if _, ok := verify.ParseID(bad); ok {
			t.Errorf("ParseID(%q) succeeded", bad)
		}
	}
}
