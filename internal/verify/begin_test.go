package verify_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"countersign/internal/verify"
)

// TestBeginRefusals: a verification in progress precedes a cap of the number, and a cap
// precedes the balance. A refusal has no change.
func TestBeginRefusals(t *testing.T) {
	t.Parallel()
	running := start(t, request(300, 125))
	expired := running
	expired.SubmittedAt, expired.PINExpiresAt = at(-400), at(-100)
	expired.Events = []verify.Event{{StartedAt: at(-400)}}
	messages, short := full("messages", 600), &verify.Cause{Rule: verify.RuleBalance, Count: 3, Limit: 5}
	for _, tt := range []struct {
		name    string
		running *verify.Verification
		history history
		price   verify.Money
		short   *verify.Cause
		want    verify.Error // Kind -1 for an acceptance
		ended   bool
	}{
		{"accepted", nil, history{}, 5, nil, verify.Error{Kind: -1}, false},
		{"in progress", &running, history{}, 5, nil, verify.Error{Kind: verify.KindConcurrent, Request: running.ID}, false},
		{"in progress, at a cap", &running, history{noSend: messages}, 5, short, verify.Error{Kind: verify.KindConcurrent, Request: running.ID}, false},
		{"at a cap", nil, history{noSend: messages}, 5, short, verify.Error{Kind: verify.KindBlocked, By: *messages}, false},
		{"at a cap, after one that expired", &expired, history{noSend: messages}, 5, nil, verify.Error{Kind: verify.KindBlocked, By: *messages}, false},
		{"no credit", nil, history{}, 5, short, verify.Error{Kind: verify.KindNoCredit, By: *short}, false},
		{"no credit, but free", nil, history{}, 0, short, verify.Error{Kind: -1}, false},
		{"after one that expired", &expired, history{}, 5, nil, verify.Error{Kind: -1}, true},
		{"no cap of checks counts", nil, history{noCheck: messages}, 5, nil, verify.Error{Kind: -1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := beginning(request(300, 125), tt.price)
			b.Running, b.History, b.Funds = tt.running, tt.history, funds{tt.short}
			c, ended, err := verify.Begin(b, t0, rand.Reader)
			if tt.want.Kind >= 0 {
				if got, _ := errors.AsType[*verify.Error](err); got == nil || *got != tt.want || c.New || ended != nil {
					t.Errorf("got %+v, %+v, %+v; want %+v", err, c, ended, tt.want)
				}
				return
			}
			if err != nil || !c.New || c.Send == nil || c.History.(history).calls != "sent 0s;" {
				t.Fatalf("got %+v, %v", c, err)
			}
			if (ended != nil) != tt.ended {
				t.Fatalf("ended: %+v", ended)
			}
			if ended == nil {
				return
			}
			if v := ended.Verification; v.ID != tt.running.ID || v.Status != verify.Expired || !v.FinalizedAt.Equal(at(-100)) || ended.New || ended.Send != nil {
				t.Errorf("ended: %+v", ended)
			}
		})
	}
}

// TestBeginPayer: the payer is part of the verification if another account pays.
func TestBeginPayer(t *testing.T) {
	t.Parallel()
	for payer, want := range map[string]string{"": "", "demo0001": "", "parent01": "parent01"} {
		b := beginning(request(300, 125), 5)
		b.Payer = payer
		if v := mustBegin(b).Verification; v.Payer != want || !v.Paid || v.Charged() != 5 {
			t.Errorf("payer %q: got %q, paid %v", payer, v.Payer, v.Paid)
		}
	}
}
