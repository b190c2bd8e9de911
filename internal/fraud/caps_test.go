package fraud_test

import (
	"testing"
	"time"

	"countersign/internal/fraud"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// defaults returns the default caps (package config).
func defaults() fraud.Caps {
	const day = 24 * time.Hour
	sends := []fraud.Window{{Count: 5, Within: 10 * time.Minute}, {Count: 10, Within: time.Hour}, {Count: 20, Within: day}}
	return fraud.Caps{
		Sends: sends, AccountSends: sends,
		FailedChecks: []fraud.Window{{Count: 30, Within: day}}, AccountFailedChecks: []fraud.Window{{Count: 15, Within: day}},
		Streak: 100, Lock: day, Remember: 90 * day,
	}
}

// history is a number under caps at a time.
type history struct {
	caps fraud.Caps
	n    fraud.Number
	now  time.Time
}

// send sends a message if permitted, and returns the cap that refuses it.
func (h *history) send(account string) string {
	if r := h.caps.MaySend(h.n, account, h.now); r != nil {
		return r.Cap
	}
	h.n = h.caps.Sent(h.n, account, h.now)
	return ""
}

// fail checks a wrong code if permitted, and returns the cap that refuses it, or that it
// fills.
func (h *history) fail(account string) (refused, filled string) {
	if r := h.caps.MayCheck(h.n, account, h.now); r != nil {
		return r.Cap, ""
	}
	var r *fraud.Refusal
	if h.n, r = h.caps.Failed(h.n, account, h.now); r != nil {
		filled = r.Cap
	}
	return "", filled
}

func TestDefaultSends(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		pause    time.Duration
		accounts []string
		want     int // sends that pass before the first refusal
		cap      string
	}{
		{"AtOnce", 0, []string{"a"}, 5, "sends_10m"},
		{"AtOnceOfTwo", 0, []string{"a", "b"}, 5, "sends_10m"},
		{"EveryThreeMinutes", 3 * time.Minute, []string{"a"}, 10, "sends_1h"},
		{"EveryTenMinutes", 10 * time.Minute, []string{"a", "b"}, 20, "sends_24h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := history{caps: defaults(), now: t0}
			for i := range tt.want {
				if refused := h.send(tt.accounts[i%len(tt.accounts)]); refused != "" {
					t.Fatalf("message %d is refused: %s", i+1, refused)
				}
				h.now = h.now.Add(tt.pause)
			}
			if refused := h.send("a"); refused != tt.cap {
				t.Errorf("message %d: refused by %q, want %q", tt.want+1, refused, tt.cap)
			}
		})
	}
}

func TestAccountSends(t *testing.T) {
	t.Parallel()
	h := history{now: t0, caps: fraud.Caps{
		Sends:        []fraud.Window{{Count: 3, Within: time.Hour}},
		AccountSends: []fraud.Window{{Count: 2, Within: time.Hour}},
	}}
	for i, tt := range []struct{ account, want string }{
		{"a", ""}, {"a", ""}, {"a", "account_sends_1h"}, {"b", ""}, {"b", "sends_1h"}, {"a", "sends_1h"},
	} {
		if got := h.send(tt.account); got != tt.want {
			t.Errorf("message %d, of %s: %q, want %q", i+1, tt.account, got, tt.want)
		}
	}
}

func TestWindowSlides(t *testing.T) {
	t.Parallel()
	h := history{now: t0, caps: fraud.Caps{Sends: []fraud.Window{{Count: 2, Within: 10 * time.Minute}}}}
	for _, tt := range []struct {
		after time.Duration // since the start
		want  string
	}{
		{0, ""},
		{4 * time.Minute, ""},
		{10*time.Minute - time.Millisecond, "sends_10m"},
		{10 * time.Minute, ""}, // the first has left the window
		{14*time.Minute - time.Millisecond, "sends_10m"},
		{14 * time.Minute, ""},
		{time.Hour, ""},
		{time.Hour, ""},
		{time.Hour, "sends_10m"},
		{59 * time.Minute, "sends_10m"}, // a clock that is behind
	} {
		h.now = t0.Add(tt.after)
		if got := h.send("a"); got != tt.want {
			t.Errorf("after %v: %q, want %q", tt.after, got, tt.want)
		}
	}
}

func TestRefusalUntil(t *testing.T) {
	t.Parallel()
	h := history{caps: defaults(), now: t0}
	for range 5 {
		h.send("a")
		h.now = h.now.Add(time.Minute)
	}
	if r := h.caps.MaySend(h.n, "b", h.now); r == nil || !r.Until.Equal(t0.Add(10*time.Minute)) {
		t.Errorf("refused with %+v, want until the first is out of the window", r)
	}
}

func TestFailedChecks(t *testing.T) {
	t.Parallel()
	h := history{caps: defaults(), now: t0}
	for i := range 14 {
		if refused, filled := h.fail("a"); refused+filled != "" {
			t.Fatalf("check %d: refused by %q, fills %q", i+1, refused, filled)
		}
	}
	if refused, filled := h.fail("a"); refused != "" || filled != "account_failed_checks_24h" {
		t.Errorf("check 15: refused by %q, fills %q", refused, filled)
	}
	if refused, _ := h.fail("a"); refused != "account_failed_checks_24h" {
		t.Errorf("check 16: refused by %q", refused)
	}
	if refused := h.send("a"); refused != "account_failed_checks_24h" {
		t.Errorf("a message whose code cannot be checked: refused by %q", refused)
	}
	if refused := h.send("b"); refused != "" {
		t.Errorf("a message of another account: refused by %q", refused)
	}
	for i := range 15 {
		if refused, filled := h.fail("b"); refused != "" || (filled != "") != (i == 14) {
			t.Fatalf("check %d of another account: refused by %q, fills %q", i+1, refused, filled)
		}
	}
	if refused, _ := h.fail("c"); refused != "failed_checks_24h" {
		t.Errorf("check 31 of all: refused by %q", refused)
	}
	h.now = h.now.Add(24 * time.Hour)
	if refused, filled := h.fail("a"); refused+filled != "" {
		t.Errorf("a day later: refused by %q, fills %q", refused, filled)
	}
}

func TestStreak(t *testing.T) {
	t.Parallel()
	h := history{caps: defaults(), now: t0}
	failures := func(n int) (filled string) {
		t.Helper()
		for i := range n {
			var refused string
			if refused, filled = h.fail("a"); refused != "" {
				t.Fatalf("check %d of %d: refused by %q", i+1, n, refused)
			}
			h.now = h.now.Add(2 * time.Hour) // the window of a day has room
		}
		return filled
	}
	failures(99)
	h.n = h.caps.Verified(h.n, "b", h.now) // another account: no effect
	if filled := failures(1); filled != "streak" {
		t.Errorf("check 100 fills %q", filled)
	}
	if refused := h.send("a"); refused != "streak" {
		t.Errorf("a message to a locked number: refused by %q", refused)
	}
	if refused := h.send("b"); refused != "" {
		t.Errorf("a message of another account: refused by %q", refused)
	}
	h.now = h.now.Add(22*time.Hour - time.Millisecond)
	if refused, _ := h.fail("a"); refused != "streak" {
		t.Errorf("just before the lock ends: refused by %q", refused)
	}
	h.now = h.now.Add(time.Millisecond)
	if filled := failures(1); filled != "streak" {
		t.Errorf("the next failed check fills %q, want the lock again", filled)
	}

	cleared := h
	cleared.n = h.caps.Cleared(h.n, h.now)
	if refused := cleared.send("a"); refused != "" {
		t.Errorf("after unlocking: refused by %q", refused)
	}
	if !h.caps.VerifiedBefore(cleared.n, "b", h.now) {
		t.Error("unlocking forgets a success")
	}

	h.now = h.now.Add(24 * time.Hour)
	h.n = h.caps.Verified(h.n, "a", h.now)
	if filled := failures(99); filled != "" {
		t.Errorf("99 failed checks after a success fill %q", filled)
	}
}

func TestVerifiedBefore(t *testing.T) {
	t.Parallel()
	caps := defaults()
	n := caps.Verified(caps.Sent(fraud.Number{}, "a", t0), "a", t0)
	for _, tt := range []struct {
		account string
		after   time.Duration
		want    bool
	}{
		{"a", 0, true}, {"", time.Hour, true}, {"b", 0, false},
		{"a", 90*24*time.Hour - time.Millisecond, true}, {"a", 90 * 24 * time.Hour, false}, {"", 90 * 24 * time.Hour, false},
	} {
		if got := caps.VerifiedBefore(n, tt.account, t0.Add(tt.after)); got != tt.want {
			t.Errorf("account %q after %v: %v", tt.account, tt.after, got)
		}
	}
}

func TestNoCaps(t *testing.T) {
	t.Parallel()
	var h history
	h.now = t0
	for range 1000 {
		if refused := h.send("a"); refused != "" {
			t.Fatal(refused)
		}
		if refused, filled := h.fail("a"); refused+filled != "" {
			t.Fatal(refused, filled)
		}
	}
	if len(h.n.Uses) != 0 {
		t.Errorf("counted though there is no cap: %+v", h.n)
	}
}

func TestStaleAt(t *testing.T) {
	t.Parallel()
	caps := defaults()
	sent := caps.Sent(fraud.Number{}, "a", t0)
	failed, _ := caps.Failed(sent, "a", t0.Add(time.Hour))
	for _, tt := range []struct {
		name string
		n    fraud.Number
		want time.Time
	}{
		{"Nothing", fraud.Number{}, time.Time{}},
		{"Sent", sent, t0.Add(24 * time.Hour)},
		{"Streak", failed, t0.Add(time.Hour).Add(caps.Remember)},
		{"Verified", caps.Verified(sent, "a", t0), t0.Add(caps.Remember)},
	} {
		if got := caps.StaleAt(tt.n); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	h := history{caps: defaults(), now: t0}
	for range 5 {
		h.send("b")
	}
	h.fail("a")
	got := map[string]fraud.Count{}
	for _, c := range h.caps.Status(h.n, t0.Add(time.Minute)) {
		got[c.Account+" "+c.Cap] = c
	}
	for _, want := range []fraud.Count{
		{Cap: "sends_10m", Count: 5, Limit: 5, Until: t0.Add(10 * time.Minute), Resets: t0.Add(10 * time.Minute)},
		{Cap: "sends_24h", Count: 5, Limit: 20, Resets: t0.Add(24 * time.Hour)},
		{Cap: "failed_checks_24h", Count: 1, Limit: 30, Resets: t0.Add(24 * time.Hour)},
		{Cap: "account_sends_10m", Account: "b", Count: 5, Limit: 5, Until: t0.Add(10 * time.Minute), Resets: t0.Add(10 * time.Minute)},
		{Cap: "account_sends_10m", Account: "a", Limit: 5},
		{Cap: "account_failed_checks_24h", Account: "a", Count: 1, Limit: 15, Resets: t0.Add(24 * time.Hour)},
		{Cap: "streak", Account: "a", Count: 1, Limit: 100},
	} {
		if got[want.Account+" "+want.Cap] != want {
			t.Errorf("got %+v, want %+v", got[want.Account+" "+want.Cap], want)
		}
	}
	if n := len(h.caps.Status(fraud.Number{}, t0)); n != 4 {
		t.Errorf("an unused number has %d counts, want only the counts of all accounts", n)
	}
}
