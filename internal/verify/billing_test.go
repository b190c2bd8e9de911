package verify_test

import (
	"fmt"
	"testing"

	"countersign/internal/verify"
)

func eventStates() []verify.EventState {
	return []verify.EventState{
		verify.EventSubmitting, verify.EventAccepted, verify.EventRefused, verify.EventUnknown, verify.EventDelivered, verify.EventAnswered,
		verify.EventHeld, verify.EventUndeliverable, verify.EventExpired, verify.EventRejected,
	}
}

// TestEventNeverLeft: only a first attempt that was refused, or expired without a carrier,
// certainly never left.
func TestEventNeverLeft(t *testing.T) {
	t.Parallel()
	never := map[string]bool{"refused 1 ": true, "refused 1 smsc": true, "expired 1 ": true}
	for _, state := range eventStates() {
		for attempt := range verify.MaxAttempts + 1 {
			for _, carrier := range []string{"", "smsc"} {
				key := fmt.Sprintf("%s %d %s", state, attempt, carrier)
				if got := (verify.Event{State: state, Attempt: attempt, Carrier: carrier}).NeverLeft(); got != never[key] {
					t.Errorf("%s: NeverLeft = %v", key, got)
				}
			}
		}
	}
}

// TestRefundable: the price is refunded once the verification has ended without success and
// every event certainly never left; an event of unknown outcome keeps it.
func TestRefundable(t *testing.T) {
	t.Parallel()
	refused := verify.Event{State: verify.EventRefused, Attempt: 1}
	events := func(states ...verify.EventState) []verify.Event {
		list := []verify.Event{refused}
		for _, s := range states {
			list = append(list, verify.Event{State: s, Attempt: 1, Carrier: "smsc"})
		}
		return list
	}
	ended := verify.Verification{Status: verify.Failed, Price: 5, Paid: true}
	status := func(s verify.Status) verify.Verification {
		v := ended
		v.Status = s
		return v
	}
	unpaid, free, twice := ended, ended, refused
	unpaid.Paid, free.Price, twice.Attempt = false, 0, 2
	for _, tt := range []struct {
		name   string
		v      verify.Verification
		events []verify.Event
		want   bool
	}{
		{"failed", ended, events(), true},
		{"expired", status(verify.Expired), events(verify.EventRefused), true},
		{"cancelled", status(verify.Cancelled), events(), true},
		{"success", status(verify.Success), events(), false},
		{"in progress", status(verify.InProgress), events(), false},
		{"not charged", unpaid, events(), false},
		{"free", free, events(), false},
		{"no event", ended, nil, false},
		{"two attempts", ended, []verify.Event{twice}, false},
		{"unknown", ended, events(verify.EventUnknown), false},
		{"only unknown", ended, events(verify.EventUnknown)[1:], false},
		{"unknown, then refused", ended, []verify.Event{{State: verify.EventUnknown, Attempt: 1}, refused}, false},
		{"submitting", ended, events(verify.EventSubmitting), false},
		{"accepted", ended, events(verify.EventAccepted), false},
		{"delivered", ended, events(verify.EventDelivered), false},
		{"undeliverable", ended, events(verify.EventUndeliverable), false},
		{"expired with a carrier", ended, events(verify.EventExpired), false},
	} {
		tt.v.Events = tt.events
		if got := tt.v.Refundable(); got != tt.want {
			t.Errorf("%s: Refundable = %v", tt.name, got)
		}
	}
}

// TestRefundDue: a refund is due after the end of a paid verification with an unsent event.
func TestRefundDue(t *testing.T) {
	t.Parallel()
	due := verify.Verification{Status: verify.Expired, Price: 5, Paid: true, Unsent: true}
	if !due.RefundDue() || due.Charged() != 5 {
		t.Errorf("%+v: due %v, charged %d", due, due.RefundDue(), due.Charged())
	}
	for name, change := range map[string]func(*verify.Verification){
		"sent":        func(v *verify.Verification) { v.Unsent = false },
		"in progress": func(v *verify.Verification) { v.Status = verify.InProgress },
		"given back":  func(v *verify.Verification) { v.Paid = false },
		"free":        func(v *verify.Verification) { v.Price = 0 },
		// A refund releases the lease; without it no node resolves the event after a crash.
		"an event is open": func(v *verify.Verification) {
			v.Events = []verify.Event{{State: verify.EventRefused}, {State: verify.EventSubmitting}}
		},
	} {
		v := due
		change(&v)
		if v.RefundDue() {
			t.Errorf("%s: a refund is due", name)
		}
		if want := v.Price; name == "given back" && v.Charged() != 0 || name != "given back" && v.Charged() != want {
			t.Errorf("%s: charged %d", name, v.Charged())
		}
	}
	for _, s := range []verify.Status{verify.Success, verify.Failed, verify.Expired, verify.Cancelled} {
		if !(verify.Verification{Status: s}).Ended() {
			t.Errorf("%s has not ended", s)
		}
	}
}

func TestPaidBy(t *testing.T) {
	t.Parallel()
	v := verify.Verification{Request: verify.Request{Account: "child001"}}
	if got := v.PaidBy(); got != "child001" {
		t.Errorf("paid by %s", got)
	}
	v.Payer = "parent01"
	if got := v.PaidBy(); got != "parent01" {
		t.Errorf("paid by %s", got)
	}
}
