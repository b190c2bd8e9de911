package fraud_test

import (
	"slices"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// TestCapNames: each window has a name with its length, and a streak one without.
func TestCapNames(t *testing.T) {
	t.Parallel()
	caps := fraud.Caps{
		Sends:               []fraud.Window{{Count: 1, Within: 10 * time.Minute}, {Count: 1, Within: 90 * time.Minute}},
		AccountSends:        []fraud.Window{{Count: 1, Within: 24 * time.Hour}},
		FailedChecks:        []fraud.Window{{Count: 1, Within: 30 * time.Second}},
		AccountFailedChecks: []fraud.Window{{Count: 1, Within: 90 * time.Second}},
	}
	want := []string{"sends_10m", "sends_1h30m", "account_sends_24h", "failed_checks_30s", "account_failed_checks_1m30s"}
	if got := caps.Names(); !slices.Equal(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
	caps.Streak = 1
	if got := caps.Names(); !slices.Equal(got, append([]string{"streak"}, want...)) {
		t.Errorf("names are %v, want a streak before %v", got, want)
	}
	if got := (fraud.Caps{}).Names(); len(got) != 0 {
		t.Errorf("names without caps are %v", got)
	}
}

// TestStatusWithoutStreak: without a lock, the status of a number has no streak.
func TestStatusWithoutStreak(t *testing.T) {
	t.Parallel()
	caps := fraud.Caps{Sends: []fraud.Window{{Count: 1, Within: time.Hour}}, Remember: time.Hour}
	list := caps.Status(caps.Sent(fraud.Number{}, "a", t0), t0)
	if len(list) != 1 || list[0].Cap != "sends_1h" || list[0].Count != 1 {
		t.Errorf("the status is %+v, want sends_1h alone", list)
	}
}

// TestDecodeBroken: truncated bytes and other encodings are errors. The encoding byte
// alone is an empty number.
func TestDecodeBroken(t *testing.T) {
	t.Parallel()
	caps := defaults()
	n, _ := caps.Failed(caps.Sent(fraud.Number{}, "demo0001", t0), "demo0001", t0)
	b := n.Encode()
	for i := range b {
		if got, err := fraud.Decode(b[:i]); (err == nil) != (i == 1) || len(got.Uses) != 0 {
			t.Errorf("%d of %d bytes read as %+v, %v", i, len(b), got, err)
		}
	}
	if _, err := fraud.Decode(append([]byte{2}, b[1:]...)); err == nil {
		t.Error("another encoding is read")
	}
}

// TestWindowEdges: a time exactly at the end of a window, a lock or Remember no longer
// counts.
func TestWindowEdges(t *testing.T) {
	t.Parallel()
	caps := fraud.Caps{
		Sends: []fraud.Window{{Count: 1, Within: time.Hour}}, FailedChecks: []fraud.Window{{Count: 9, Within: time.Hour}},
		Streak: 2, Lock: time.Hour, Remember: 2 * time.Hour,
	}
	sent := caps.Sent(fraud.Number{}, "a", t0)
	failed, filled := caps.Failed(fraud.Number{}, "a", t0)
	if filled != nil {
		t.Fatalf("one failed check fills %+v", filled)
	}
	locked, filled := caps.Failed(failed, "a", t0)
	if filled == nil || filled.Cap != "streak" || filled.Count != 2 || filled.Limit != 2 || !filled.Until.Equal(t0.Add(time.Hour)) {
		t.Fatalf("two failed checks fill %+v, want the streak", filled)
	}
	for _, tt := range []struct {
		name   string
		n      fraud.Number
		after  time.Duration
		may    bool // send
		counts bool
	}{
		{"sent", sent, time.Hour - 1, false, true}, {"sent", sent, time.Hour, true, false},
		{"locked", locked, time.Hour - 1, false, true}, {"locked", locked, time.Hour, true, true}, // the streak is remembered
		{"failed", failed, 2*time.Hour - 1, true, true}, {"failed", failed, 2 * time.Hour, true, false},
	} {
		now := t0.Add(tt.after)
		if may := caps.MaySend(tt.n, "a", now) == nil; may != tt.may {
			t.Errorf("%s, after %v: may send: %v, want %v", tt.name, tt.after, may, tt.may)
		}
		if counts := caps.Counts(tt.n, now); counts != tt.counts {
			t.Errorf("%s, after %v: counts: %v, want %v", tt.name, tt.after, counts, tt.counts)
		}
	}
	// After Remember a streak begins at 1.
	if _, filled := caps.Failed(failed, "a", t0.Add(2*time.Hour)); filled != nil {
		t.Errorf("a failed check long after the first fills %+v", filled)
	}
	if at := caps.StaleAt(locked); !at.Equal(t0.Add(2 * time.Hour)) {
		t.Errorf("stale at %v", at)
	}
}

// TestSuddenFigures: rules that are off, or have no history, do not fire. Others return
// the figures of their decision.
func TestSuddenFigures(t *testing.T) {
	t.Parallel()
	before := []int64{0, 0, 0, 0}
	for _, mode := range []fraud.Mode{fraud.Off, fraud.Shadow, fraud.Enforce} {
		f, sudden := fraud.Country{Mode: mode, Starts: 10, Sigma: 6}.Sudden(11, before)
		if sudden != (mode != fraud.Off) {
			t.Errorf("%s: sudden: %v", mode, sudden)
		}
		if sudden && (f.Starts != 11 || f.Limit != 10 || f.Window != "12h0m0s") {
			t.Errorf("%s: figures are %+v", mode, f)
		}
		f2, much := fraud.Spend{Mode: mode, Times: 10, Least: 5}.Spent(30, []verify.Money{2, 3, 1})
		if much != (mode != fraud.Off) || much && (f2.Limit != 20 || f2.Mean != 2 || f2.Spend != 30) {
			t.Errorf("%s: spent: %v, %+v", mode, much, f2)
		}
	}
	if _, much := (fraud.Spend{Mode: fraud.Shadow, Times: 10, Least: 5}).Spent(30, nil); much {
		t.Error("much is spent without days before")
	}
	f, sudden := fraud.Country{Mode: fraud.Enforce, Starts: 10, Sigma: 2}.Sudden(1000, []int64{100, 300, 100, 300})
	if !sudden || f.Mean != 200 || f.Sigma != 100 || f.Limit != 400 {
		t.Errorf("figures are %+v", f)
	}
}
