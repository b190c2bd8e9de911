package fraud_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// smallCaps fill after few messages and codes.
func smallCaps() fraud.Caps {
	return fraud.Caps{
		Sends:               []fraud.Window{{Count: 4, Within: time.Hour}},
		AccountSends:        []fraud.Window{{Count: 3, Within: time.Hour}},
		AccountFailedChecks: []fraud.Window{{Count: 2, Within: time.Hour}},
		Streak:              3, Lock: 2 * time.Hour, Remember: 24 * time.Hour,
	}
}

// TestHistory: the caps of a number as causes, for the account of the history.
func TestHistory(t *testing.T) {
	t.Parallel()
	cause := func(name string, count, limit int64, until time.Duration) *verify.Cause {
		return &verify.Cause{Rule: verify.RuleCap, Detail: name, Count: count, Limit: limit, Until: t0.Add(until)}
	}
	perAccount := cause("account_sends_1h", 3, 3, time.Hour)
	codes := cause("account_failed_checks_1h", 2, 2, time.Hour+4*time.Minute)
	const minute = time.Minute
	for _, tt := range []struct {
		name              string
		do                []string // operation and account, one a minute
		account           string
		now               time.Duration
		maySend, mayCheck *verify.Cause
	}{
		{"empty", nil, "a", 0, nil, nil},
		{"two messages", []string{"send a", "send a"}, "a", 2 * minute, nil, nil},
		{"cap of the account", []string{"send a", "send a", "send a"}, "a", 3 * minute, perAccount, nil},
		{"of another account", []string{"send a", "send a", "send a"}, "b", 3 * minute, nil, nil},
		{"cap of the number", []string{"send a", "send a", "send a", "send b"}, "c", 4 * minute, cause("sends_1h", 4, 4, time.Hour), nil},
		{"after the window", []string{"send a", "send a", "send a"}, "a", time.Hour, nil, nil},
		{"wrong codes", []string{"send a", "send a", "send a", "wrong a", "wrong a"}, "a", 5 * minute,
			cause("account_failed_checks_1h", 2, 2, time.Hour+3*minute), cause("account_failed_checks_1h", 2, 2, time.Hour+3*minute)},
		{"wrong codes and one after them", []string{"send a", "send a", "send a", "wrong a", "wrong a", "send b"}, "b", 6 * minute, cause("sends_1h", 4, 4, time.Hour), nil},
		{"a right code ends the streak", []string{"wrong a", "right a", "wrong a"}, "a", 61 * minute, nil, nil},
		{"without it", []string{"wrong a", "wrong a", "wrong a"}, "a", 62 * minute, cause("streak", 3, 3, 2*time.Hour+2*minute), cause("streak", 3, 3, 2*time.Hour+2*minute)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := fraud.History{Caps: smallCaps()}
			for i, text := range tt.do {
				var op string
				_, err := fmt.Sscan(text, &op, &h.Account)
				if err != nil {
					t.Fatal(err)
				}
				h, _ = apply(h, op, t0.Add(time.Duration(i)*minute))
			}
			h.Account = tt.account
			if got := h.MaySend(t0.Add(tt.now)); !reflect.DeepEqual(got, tt.maySend) {
				t.Errorf("MaySend: %+v, want %+v", got, tt.maySend)
			}
			if got := h.MayCheck(t0.Add(tt.now)); !reflect.DeepEqual(got, tt.mayCheck) {
				t.Errorf("MayCheck: %+v, want %+v", got, tt.mayCheck)
			}
		})
	}
	h := fraud.History{Caps: smallCaps(), Account: "a"}
	h, first := apply(h, "wrong", t0.Add(4*minute))
	if _, filled := apply(h, "wrong", t0.Add(5*minute)); first != nil || !reflect.DeepEqual(filled, codes) {
		t.Errorf("wrong codes filled %+v and %+v, want none and %+v", first, filled, codes)
	}
	if _, filled := apply(h, "right", t0.Add(5*minute)); filled != nil {
		t.Errorf("a right code filled %+v", filled)
	}
}

// apply performs an operation: send, wrong or right. filled is the cap that it fills.
func apply(h fraud.History, op string, now time.Time) (_ fraud.History, filled *verify.Cause) {
	if op == "send" {
		return h.Sent(now).(fraud.History), nil
	}
	next, filled := h.Checked(op == "right", now)
	return next.(fraud.History), filled
}

// TestHistoryIsImmutable: an operation changes no earlier history, and the number changes
// as by the caps.
func TestHistoryIsImmutable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, now := fraud.History{Caps: smallCaps(), Account: "a"}, t0
		number := h.Number
		var earlier []fraud.History
		var texts []string
		for range rapid.IntRange(1, 20).Draw(t, "operations") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
			h.Account = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account")
			op := rapid.SampledFrom([]string{"send", "wrong", "right"}).Draw(t, "operation")
			earlier, texts = append(earlier, h), append(texts, fmt.Sprintf("%+v", h))
			apply(h, "send", now.Add(time.Minute)) // a second change of the same history
			h, _ = apply(h, op, now)
			switch op {
			case "send":
				number = h.Caps.Sent(number, h.Account, now)
			case "wrong":
				number, _ = h.Caps.Failed(number, h.Account, now)
			default:
				number = h.Caps.Verified(number, h.Account, now)
			}
			if !reflect.DeepEqual(h.Number, number) || !h.StaleAt().Equal(h.Caps.StaleAt(number)) {
				t.Fatalf("after %s: %+v, want %+v", op, h.Number, number)
			}
		}
		for i, e := range earlier {
			if got := fmt.Sprintf("%+v", e); got != texts[i] {
				t.Fatalf("history %d changed from %s to %s", i, texts[i], got)
			}
		}
	})
}

// TestHistoryInRules: the rules of a verification use the history and return the changed
// one.
func TestHistoryInRules(t *testing.T) {
	t.Parallel()
	h := fraud.History{Caps: smallCaps(), Account: "a"}
	begin := func(h verify.History, now time.Time) (verify.Change, error) {
		c, _, err := verify.Begin(verify.Beginning{
			Request: verify.Request{
				Account: "a", To: verify.PhoneAddress("447700900000", ""), CodeLength: 4,
				Workflow: verify.Workflow{Steps: []verify.Step{{Channel: verify.SMS, Wait: time.Hour}}, PINLife: time.Hour},
			},
			Payer: "a", History: h, Node: "node",
		}, now, rand.Reader)
		return c, err
	}
	for i := range 3 {
		c, err := begin(h, t0.Add(time.Duration(i)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		h = c.History.(fraud.History)
	}
	_, err := begin(h, t0.Add(3*time.Minute))
	if e, ok := errors.AsType[*verify.Error](err); !ok || e.Kind != verify.KindBlocked || e.By.Detail != "account_sends_1h" || !e.By.Until.Equal(t0.Add(time.Hour)) {
		t.Errorf("the fourth begin: %+v", err)
	}
	c, err := begin(h, t0.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	v, h := c.Verification, c.History.(fraud.History)
	wrong, _ := verify.ParsePIN("wrong")
	for i, want := range []verify.Status{verify.InProgress, verify.Failed} {
		c, err := v.Check(wrong, "", h, t0.Add(time.Hour+time.Second))
		if err != nil || c.Verification.Status != want {
			t.Fatalf("wrong code %d: %s, %v; want %s", i+1, c.Verification.Status, err, want)
		}
		v, h = c.Verification, c.History.(fraud.History)
	}
	if h.MayCheck(t0.Add(time.Hour+time.Minute)) == nil {
		t.Error("the filled cap allows a further check")
	}
}
